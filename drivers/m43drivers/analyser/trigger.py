"""When to begin: triggers as people type them, and what came just before they fired. Pure.

==========================  ====================================================================
``Status``                  a message of that name
``Drive.aperture_f>8``      a message of that name, one field of which compares so
``violation``               any violation; ``violation:short_byte`` one of that cause
``wrong_sum``               a transaction with a wrong sum
``power_up``, ...           what happened on the lines outside any byte, by its name
``CLK^``, ``CLK_``          a rising or a falling edge of a line; ``CLK~`` is either
==========================  ====================================================================
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from m43drivers.capture.stream import Block
from m43proto.errors import M43Error
from m43proto.events import Cause, FragmentSeen, MessageSeen, PinEvent, PinEventSeen, TransactionSeen, Violation
from m43proto.pins import LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43proto.pins import Line

__all__ = ["BlockGate", "EdgeTrigger", "EventTrigger", "Trigger", "TriggerError", "parse_trigger"]


class TriggerError(M43Error, ValueError):
    """A trigger says nothing that can happen; the text names what can."""


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Fires on an event.

    Attributes:
        text: as it was typed.
        fires: whether an event is the one.
    """

    text: str
    fires: Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class EdgeTrigger:
    """Fires on an edge of a line.

    Attributes:
        text: as it was typed.
        line: which line.
        levels: the levels after the edge that fire: ``{1}``, ``{0}`` or both.
    """

    text: str
    line: Line
    levels: frozenset[int]

    def find(self, block: Block, bit: int, before: int | None) -> int | None:
        """Return the tick of the first edge in a block that fires, or None.

        Args:
            block: the changes.
            bit: which bit of a state is the line.
            before: the state before the block; None for the first block, whose first row is no change.
        """
        if not block.ticks.size:
            return None
        levels = (block.states.astype(np.uint64) >> np.uint64(bit) & np.uint64(1)).astype(np.int8)
        first = levels[0] if before is None else before >> bit & 1
        earlier = np.concatenate([[first], levels[:-1]])
        wanted = np.isin(levels, list(self.levels))
        hits = np.flatnonzero((levels != earlier) & wanted)
        return int(block.ticks[hits[0]]) if hits.size else None


Trigger: TypeAlias = EventTrigger | EdgeTrigger

_EDGES = {"^": frozenset({1}), "_": frozenset({0}), "~": frozenset({0, 1})}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"(\w+)\.(\w+)\s*(>=|<=|!=|==|>|<|=)\s*(\S(?:.*\S)?)")
_EDGE = re.compile(r"(\w+?)([\^~]|(?<=[A-Z])_)")

VIOLATION, WRONG_SUM, FRAGMENT, UNKNOWN = "violation", "wrong_sum", "fragment", "Unknown"


def parse_trigger(text: str, catalogue: Catalogue) -> Trigger:
    """Read a trigger.

    Args:
        text: as it was typed.
        catalogue: the messages that there are.

    Raises:
        TriggerError: no message, field, cause, event or line is called so; the text says what is.
    """
    typed = text.strip()
    edge = _EDGE.fullmatch(typed)
    if edge is not None:
        return EdgeTrigger(typed, _line_of(typed, edge[1]), _EDGES[edge[2]])
    condition = _CONDITION.fullmatch(typed)
    if condition is not None:
        return EventTrigger(typed, _field_test(typed, condition, catalogue))
    return EventTrigger(typed, _named_test(typed, catalogue))


def _line_of(typed: str, name: str) -> Line:
    line = next((line for line in LINES if line.casefold() == name.casefold()), None)
    if line is None:
        raise TriggerError(f"trigger {typed!r}: no line is called {name}; lines: {', '.join(LINES)}")
    return line


def _named_test(typed: str, catalogue: Catalogue) -> Callable[[Event], bool]:
    name, colon, cause = typed.partition(":")
    if name == VIOLATION:
        return _violation_test(typed, cause if colon else None)
    simple = _SIMPLE.get(typed)
    if simple is not None:
        return simple
    names = [*(kind.spec.name for kind in catalogue), UNKNOWN]
    if typed in names:
        return lambda event: isinstance(event, MessageSeen) and event.name == typed
    known = [*names, *PinEvent, VIOLATION, WRONG_SUM, FRAGMENT]
    raise TriggerError(f"trigger {typed!r}: nothing is called so; {_near(typed, known)}")


def _pin_event_test(wanted: PinEvent) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, PinEventSeen) and event.event is wanted


def _has_wrong_sum(event: Event) -> bool:
    transaction = event.transaction if isinstance(event, MessageSeen) else event
    return isinstance(transaction, TransactionSeen) and not transaction.sums_ok


_SIMPLE: dict[str, Callable[[Event], bool]] = {
    WRONG_SUM: _has_wrong_sum,
    FRAGMENT: lambda event: isinstance(event, FragmentSeen),
    **{str(one): _pin_event_test(one) for one in PinEvent},
}


def _violation_test(typed: str, cause: str | None) -> Callable[[Event], bool]:
    if cause is None:
        return lambda event: isinstance(event, Violation)
    if cause not in list(Cause):
        raise TriggerError(f"trigger {typed!r}: no cause is called {cause!r}; {_near(cause, list(Cause))}")
    return lambda event: isinstance(event, Violation) and event.cause == cause


def _field_test(typed: str, condition: re.Match[str], catalogue: Catalogue) -> Callable[[Event], bool]:
    name, field, sign, value = condition.groups()
    kind = next((kind for kind in catalogue if kind.spec.name == name), None)
    if kind is None:
        names = [one.spec.name for one in catalogue]
        raise TriggerError(f"trigger {typed!r}: no message is called {name}; {_near(name, names)}")
    fields = [one.name for one in kind.spec.fields]
    if field not in fields:
        raise TriggerError(f"trigger {typed!r}: {name} has no field {field}; {_near(field, fields)}")
    compares = _comparison(typed, sign, value)
    return lambda event: (
        isinstance(event, MessageSeen)
        and event.name == name
        and field in event.values
        and compares(event.values[field])
    )


def _comparison(typed: str, sign: str, value: str) -> Callable[[object], bool]:
    """Return the test of a field's value.

    A number is compared with numbers, and equal to what rounds to the decimals that were typed: 5.66 is 5.6569.
    Anything else is compared as a word, or as hex with bytes, and only for equality.
    """
    compare = _COMPARISONS[sign]
    number = _number(value)
    if number is not None:
        decimals = len(value.partition(".")[2]) if compare in (operator.eq, operator.ne) else None
        return lambda seen: isinstance(seen, int | float) and compare(_rounded(seen, decimals), number)
    if compare not in (operator.eq, operator.ne):
        raise TriggerError(f"trigger {typed!r}: {sign} needs a number, found {value!r}")
    return lambda seen: compare(_word(seen), value.casefold().replace(" ", "") if isinstance(seen, bytes) else value)


def _number(value: str) -> float | None:
    if value == "infinity":
        return math.inf
    return float(value) if re.fullmatch(r"[+-]?\d+(\.\d+)?", value) else None


def _rounded(seen: float, decimals: int | None) -> float:
    return seen if decimals is None or math.isinf(seen) else round(seen, decimals)


def _word(seen: object) -> str:
    return seen.hex() if isinstance(seen, bytes) else str(seen)


def _near(name: str, known: Iterable[str]) -> str:
    names = list(map(str, known))
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"


class BlockGate:
    """Holds the last blocks until it is opened at a tick; then what came shortly before, and all behind it.

    Args:
        history_ticks: how far back.
        most_rows: rows that it holds at most, whatever the time.
    """

    def __init__(self, history_ticks: int, most_rows: int = 4_000_000) -> None:
        self._history = history_ticks
        self._most_rows = most_rows
        self._held: deque[tuple[int | None, Block]] = deque()
        self._rows = 0
        self._state: int | None = None
        self._from: int | None = None

    def feed(self, block: Block) -> Iterator[Block]:
        """Hold a block, or yield it when the gate is open."""
        if self._from is not None:
            yield block
            return
        self._held.append((self._state, block))
        self._rows += block.ticks.size
        if block.states.size:
            self._state = int(block.states[-1])
        while len(self._held) > 1 and (self._is_old(block.end) or self._rows > self._most_rows):
            self._rows -= self._held.popleft()[1].ticks.size

    def open(self, tick: int) -> Iterator[Block]:
        """Yield what is held from the history on; the first row has the levels there, and is no change."""
        begin = self._from = max(0, tick - self._history)
        opened = False
        for before, block in self._held:
            if block.end >= begin:
                yield block if opened else _cut(before, block, begin)
                opened = True
        self._held.clear()

    def _is_old(self, now: int) -> bool:
        return self._held[0][1].end < now - self._history


def _cut(before: int | None, block: Block, begin: int) -> Block:
    """Return a block from a tick on, or from its own beginning, with a row for the levels there."""
    first = int(np.searchsorted(block.ticks, begin, "right"))
    if first == 0 and before is None:
        return block
    state = int(block.states[first - 1]) if first else before
    states = np.concatenate([np.array([state], block.states.dtype), block.states[first:]])
    return Block(np.concatenate([[begin], block.ticks[first:]]), states, block.end)
