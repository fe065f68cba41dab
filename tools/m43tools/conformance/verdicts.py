"""What can come of a case, and which exit code of ``m43 conform`` that makes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "EXIT_BROKEN",
    "EXIT_FAILED",
    "EXIT_LOST",
    "EXIT_PASSED",
    "EXIT_USAGE",
    "Verdict",
    "exit_code",
    "worst",
]

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BROKEN = 3
EXIT_LOST = 4


class Verdict(StrEnum):
    """What came of a case, the gravest first; only PASS is a pass."""

    ERROR = "ERROR"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    WARN = "WARN"
    PASS = "PASS"
    INFO = "INFO"
    NOT_APPLICABLE = "NOT_APPLICABLE"

    @property
    def meaning(self) -> str:
        """One sentence for the reader of a report."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.ERROR: "The tester itself went wrong, or a known deviation did not show; nothing is said of the lens.",
    Verdict.FAIL: "A clause of level MUST was breached; with --strict, a clause of any level.",
    Verdict.INCONCLUSIVE: "What the case judges did not happen, so nothing is said of it.",
    Verdict.WARN: "A clause of level SHOULD or OBSERVED was breached, or a margin is thin.",
    Verdict.PASS: "What the case judges happened, and kept the clause each time.",
    Verdict.INFO: "Measured only; there is nothing to keep.",
    Verdict.NOT_APPLICABLE: "The lens or the bench does not have what the case needs.",
}

_RANKS = list(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the gravest verdict; INFO for none."""
    return min(verdicts, key=_RANKS.index, default=Verdict.INFO)


def exit_code(verdicts: Iterable[Verdict], *, lost: bool = False) -> int:
    """Return the exit code of a run.

    Args:
        verdicts: what came of each case that was selected.
        lost: whether the lens, or the bridge, went away for good.
    """
    found = set(verdicts)
    if lost:
        return EXIT_LOST
    if not found:
        return EXIT_USAGE
    if Verdict.FAIL in found:
        return EXIT_FAILED
    return EXIT_BROKEN if found & {Verdict.ERROR, Verdict.INCONCLUSIVE} else EXIT_PASSED
