"""Known deviations: what a maker knows of a lens and has reasons to live with, until a date."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from m43proto.errors import M43Error
from m43tools.conformance.cases import ALL_CASES
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from m43tools.conformance.model import CaseResult

__all__ = ["Deviation", "DeviationError", "excused", "read_deviations"]

_KEYS = {"id", "message", "reason", "until"}


class DeviationError(M43Error):
    """A file of known deviations cannot be used; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One known deviation.

    Attributes:
        id: the case that fails.
        message: what its message contains.
        reason: why that is accepted.
        until: the last day on which it is.
    """

    id: str
    message: str
    reason: str
    until: date


def read_deviations(path: Path) -> dict[str, Deviation]:
    """Return the deviations of a TOML file, a table ``[[deviation]]`` each, by case.

    Raises:
        DeviationError: it is no TOML, or a deviation is not whole, names no case, or names one twice.
        OSError: it cannot be read.
    """
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeviationError(f"{path}: no TOML: {error}") from None
    rows = held.get("deviation", [])
    if set(held) - {"deviation"} or not isinstance(rows, list):
        raise DeviationError(f"{path}: write one table [[deviation]] for each known deviation, and nothing else")
    found: dict[str, Deviation] = {}
    for row in rows:
        deviation = _deviation(path, row)
        if deviation.id in found:
            raise DeviationError(f"{path}: {deviation.id} stands there twice; write it once")
        found[deviation.id] = deviation
    return found


def _deviation(path: Path, row: object) -> Deviation:
    if not isinstance(row, dict) or set(row) != _KEYS:
        raise DeviationError(f"{path}: a deviation has the keys {', '.join(sorted(_KEYS))}, not {row!r}")
    words = (row["id"], row["message"], row["reason"])
    if not all(isinstance(word, str) and word for word in words) or type(row["until"]) is not date:
        raise DeviationError(
            f"{path}: id, message and reason are texts, and until is a date such as 2027-01-31: {row!r}"
        )
    if row["id"] not in ALL_CASES:
        raise DeviationError(f"{path}: there is no case {row['id']}; m43 conform --list lists them")
    return Deviation(row["id"], row["message"], row["reason"], row["until"])


def excused(result: CaseResult, deviations: Mapping[str, Deviation], today: date) -> CaseResult:
    """Return the result of a case with what is known of it.

    A FAIL that is known becomes a WARN with its reason; a pass where a deviation is known is an ERROR, because then the
    file is wrong. Another message, or a day behind the last one, excuses nothing.
    """
    known = deviations.get(result.case.id)
    if known is None:
        return result
    if result.verdict is Verdict.PASS:
        text = f"passes, though a deviation is known ({known.reason}); take it out of the file"
        return dataclasses.replace(result, verdict=Verdict.ERROR, message=text)
    if result.verdict not in (Verdict.FAIL, Verdict.WARN) or known.message not in result.message or today > known.until:
        return result
    return dataclasses.replace(result, verdict=Verdict.WARN, deviation=known.reason)
