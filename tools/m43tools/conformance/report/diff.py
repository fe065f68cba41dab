"""What differs between two reports: verdicts, timing, bytes on the wire, and who answered.

A case that fails in the later report and did not fail in the earlier one is a new failure, also where the earlier
report has no such case.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from m43tools.conformance.report.words import value_text
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from m43tools.conformance.model import CaseResult, Measurement, Moment, Report

__all__ = ["THRESHOLD_PERCENT", "ByteChange", "Difference", "Move", "Turned", "diff_reports"]

THRESHOLD_PERCENT = 5.0
"""Timing that moved by less is not told of, unless asked for."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A case whose verdict changed.

    Attributes:
        case_id: which.
        title: its title.
        before: the earlier verdict; None where the earlier report has no such case.
        after: the later verdict; None where the later report has no such case.
        message: what the later report says of it.
    """

    case_id: str
    title: str
    before: Verdict | None
    after: Verdict | None
    message: str


@dataclass(frozen=True, slots=True)
class Move:
    """A figure that moved.

    Attributes:
        case_id: of which case.
        name: what was measured.
        unit: of the figures.
        statistic: ``"median"``, ``"minimum"`` or ``"maximum"``.
        before: the earlier figure.
        after: the later one.
        percent: by how much, of the earlier one; None where that is 0.
    """

    case_id: str
    name: str
    unit: str
    statistic: str
    before: float
    after: float
    percent: float | None


@dataclass(frozen=True, slots=True)
class ByteChange:
    """An answer, or a block, that has other bytes than before to the same command.

    Attributes:
        case_id: of which case.
        name: the message's name.
        command: its command, in hex.
        before: the earlier block, in hex.
        after: the later one, in hex.
        offsets: where they differ, in bytes from the start of the block.
    """

    case_id: str
    name: str
    command: str
    before: str
    after: str
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between an earlier and a later report.

    Attributes:
        newly_failing: cases that fail now and did not before.
        fixed: cases that failed before and pass now.
        turned: cases whose verdict changed in any other way.
        moved: figures that moved by the threshold at least, the farthest first.
        changed_bytes: blocks with other bytes, each once.
        identity: what the lens says of itself and what the tools are: name, before, after.
    """

    newly_failing: tuple[Turned, ...]
    fixed: tuple[Turned, ...]
    turned: tuple[Turned, ...]
    moved: tuple[Move, ...]
    changed_bytes: tuple[ByteChange, ...]
    identity: tuple[tuple[str, str, str], ...]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not any(getattr(self, name) for name in self.__slots__)


def diff_reports(before: Report, after: Report, *, threshold_percent: float = THRESHOLD_PERCENT) -> Difference:
    """Return what differs.

    Args:
        before: the earlier report.
        after: the later one.
        threshold_percent: by how much a figure has to move to be told of.
    """
    earlier = {result.case.id: result for result in before.results}
    later = {result.case.id: result for result in after.results}
    turned = [_turned(earlier.get(one), later.get(one)) for one in {**earlier, **later}]
    changed = [one for one in turned if one.before is not one.after]
    newly_failing = tuple(one for one in changed if one.after is Verdict.FAIL)
    fixed = tuple(one for one in changed if one.before is Verdict.FAIL and one.after in _GOOD)
    both = [(earlier[one], later[one]) for one in earlier if one in later]
    moved = [move for pair in both for move in _moves(*pair) if _far(move, threshold_percent)]
    return Difference(
        newly_failing=newly_failing,
        fixed=fixed,
        turned=tuple(one for one in changed if one not in newly_failing and one not in fixed),
        moved=tuple(sorted(moved, key=_distance, reverse=True)),
        changed_bytes=_each_once(change for pair in both for change in _byte_changes(*pair)),
        identity=tuple(_identity(before, after)),
    )


_GOOD = (Verdict.PASS, Verdict.WARN, Verdict.INFO)


def _turned(before: CaseResult | None, after: CaseResult | None) -> Turned:
    case = next(one.case for one in (after, before) if one)
    message = (after.message or after.observed) if after else ""
    return Turned(case.id, case.title, before.verdict if before else None, after.verdict if after else None, message)


_STATISTICS = ("minimum", "median", "maximum")


def _moves(before: CaseResult, after: CaseResult) -> Iterable[Move]:
    earlier = {(one.name, one.unit): one for one in before.measurements}
    for one in after.measurements:
        was = earlier.get((one.name, one.unit))
        if was is not None:
            yield from (_move(before.case.id, statistic, was, one) for statistic in _STATISTICS)


def _move(case_id: str, statistic: str, before: Measurement, after: Measurement) -> Move:
    was, now = getattr(before, statistic), getattr(after, statistic)
    percent = round((now - was) / abs(was) * 100, 1) if was else None
    return Move(case_id, after.name, after.unit, statistic, was, now, percent)


def _far(move: Move, threshold_percent: float) -> bool:
    return move.before != move.after and _distance(move) >= threshold_percent


def _distance(move: Move) -> float:
    return float("inf") if move.percent is None else abs(move.percent)


def _byte_changes(before: CaseResult, after: CaseResult) -> Iterable[ByteChange]:
    """Yield the blocks that differ between the n-th transactions of the same command."""
    earlier, later = _transactions(before), _transactions(after)
    asked, asked_again = ([command for _, command, _ in listed] for listed in (earlier, later))
    for same in SequenceMatcher(a=asked, b=asked_again, autojunk=False).get_matching_blocks():
        for index in range(same.size):
            name, command, was = earlier[same.a + index]
            now = later[same.b + index][2]
            if was != now:
                yield ByteChange(after.case.id, name, command, was, now, _offsets(was, now))


def _transactions(result: CaseResult) -> list[tuple[str, str, str]]:
    moments = result.exchange.moments if result.exchange else ()
    return [_block(one) for one in moments if one.kind in ("message", "transaction") and "command" in one.data]


def _block(one: Moment) -> tuple[str, str, str]:
    return one.name, str(one.data["command"]), str(one.data.get("data", ""))


def _offsets(before: str, after: str) -> tuple[int, ...]:
    pairs = [(before[at : at + 2], after[at : at + 2]) for at in range(0, max(len(before), len(after)), 2)]
    return tuple(index for index, (was, now) in enumerate(pairs) if was != now)


def _each_once(changes: Iterable[ByteChange]) -> tuple[ByteChange, ...]:
    """Return the changes without those that another case showed already."""
    found: dict[tuple[str, str, str], ByteChange] = {}
    for change in changes:
        found.setdefault((change.command, change.before, change.after), change)
    return tuple(found.values())


def _identity(before: Report, after: Report) -> Iterable[tuple[str, str, str]]:
    pairs: list[tuple[str, Mapping[str, object], Mapping[str, object]]] = [
        ("lens", before.provenance.lens, after.provenance.lens),
        ("statement", before.provenance.statement, after.provenance.statement),
        ("", _tools(before), _tools(after)),
    ]
    for prefix, was, now in pairs:
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                yield f"{prefix} {key}".strip(), _shown(was.get(key)), _shown(now.get(key))


def _tools(report: Report) -> dict[str, object]:
    from_ = report.provenance
    return {
        "tool": from_.tool,
        "clauses": from_.spec,
        "bridge firmware": from_.bridge_firmware,
        "resolution of times (ns)": from_.resolution_ns,
        "strict": from_.strict,
    }


def _shown(value: object) -> str:
    return "nothing" if value in (None, "") else value_text(value)
