"""What a bench can do to a lens or a body: operations as plain data, and the recording that comes back.

A stimulus is a list of operations; what comes back are the changes of all lines with their times. Nothing needs a host
in the loop, so a bridge can take such a list over a wire, carry it out at its own pace, and send edges back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from m43proto.messages import Status

if TYPE_CHECKING:
    from m43proto.pins import Line

__all__ = [
    "MS",
    "SECOND",
    "US",
    "Attention",
    "Broken",
    "ClockHold",
    "Cut",
    "Frame",
    "Operation",
    "Pace",
    "Pause",
    "Play",
    "PowerDown",
    "PowerUp",
    "Recording",
    "Remove",
    "Session",
    "Settle",
    "Speak",
    "Step",
    "StrayClocks",
    "Transact",
    "Turn",
]

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PowerUp:
    """Raise SLEEP, ask for attention, wait for the wake pulse."""


@dataclass(frozen=True, slots=True)
class PowerDown:
    """Drop SLEEP, and leave the lens off for a while."""

    off_ns: int = 100 * MS


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing."""

    pause_ns: int


@dataclass(frozen=True, slots=True)
class ClockHold:
    """Hold CLK low, outside any byte."""

    width_ns: int = MS


@dataclass(frozen=True, slots=True)
class StrayClocks:
    """Pulse CLK outside any byte, with BODY_ACK low."""

    count: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Begin a frame: a pulse on SHUTTER and, when asked, a change of FOCUS."""

    shutter_ns: int = 500 * US
    lead_ns: int = 1_500 * US
    focus: bool = True


@dataclass(frozen=True, slots=True)
class Pace:
    """Go on with other delays of the body, by a name of `m43tools.conformance.probes.PACES`."""

    name: str


@dataclass(frozen=True, slots=True)
class Transact:
    """Carry out a whole transaction.

    Attributes:
        command: its command.
        block: the data to write.
        then_ns: how long to pause behind it.
    """

    command: bytes
    block: bytes = b""
    then_ns: int = MS


@dataclass(frozen=True, slots=True)
class Settle:
    """Poll until three successive statuses are alike, or the time is over."""

    poll: bytes = field(default_factory=Status.request)
    every_ns: int = 16 * MS
    limit_ns: int = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Speak:
    """Clock any bytes in one turn of the body, hand over, and take some bytes of the lens.

    Attributes:
        turns: the bytes of each turn of the body.
        listen: how many bytes to take behind each turn, if the lens offers them.
    """

    turns: tuple[bytes, ...]
    listen: int = 1


@dataclass(frozen=True, slots=True)
class Broken:
    """Clock some bytes, then another number of clocks than a byte has, and drop BODY_ACK."""

    before: bytes
    clocks: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Raise BODY_ACK, wait for the lens to be ready, and drop it without a word."""

    hold_ns: int = 200 * US


@dataclass(frozen=True, slots=True)
class Cut:
    """Begin a transaction, and drop SLEEP a while later, whatever goes on."""

    command: bytes
    after_ns: int
    block: bytes = b""
    off_ns: int = 100 * MS


@dataclass(frozen=True, slots=True)
class Remove:
    """Begin a transaction, and take the lens off a while later; put it on again, with SLEEP low."""

    command: bytes
    after_ns: int
    away_ns: int = 500 * MS


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn a ring of the lens, as a hand does.

    Attributes:
        ring: ``"zoom"`` or ``"focus"``.
        amount: the zoom step to turn to, or the counts to turn the focus ring by.
    """

    ring: str
    amount: int


@dataclass(frozen=True, slots=True)
class Play:
    """Be another lens from now on, by a name of `m43tools.conformance.playing.LENSES`; for a body's bench."""

    name: str


@dataclass(frozen=True, slots=True)
class Session:
    """Switch the body on, and be its lens until it is done, or the time is over; for a body's bench."""

    limit_ns: int = 60 * SECOND


Operation: TypeAlias = (
    PowerUp
    | PowerDown
    | Pause
    | ClockHold
    | StrayClocks
    | Frame
    | Pace
    | Transact
    | Settle
    | Speak
    | Broken
    | Attention
    | Cut
    | Remove
    | Turn
    | Play
    | Session
)


@dataclass(frozen=True, slots=True)
class Step:
    """An operation that was carried out.

    Attributes:
        operation: which.
        t_ns: when it began.
        end_ns: when it ended.
        done: whether it went as it should, as far as the bench can tell.
    """

    operation: Operation
    t_ns: int
    end_ns: int
    done: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """What a bench brings back.

    Attributes:
        changes: time and new levels, one bit per line in the order of `LINES`; the first tells the levels at its start.
        end_ns: when it ends.
        lines: which lines the levels really hold.
        steps: what was done; empty for a capture, of which nobody knows.
        gaps_ns: stretches in which a bridge lost edges, from and to.
    """

    changes: tuple[tuple[int, int], ...]
    end_ns: int
    lines: tuple[Line, ...]
    steps: tuple[Step, ...] = ()
    gaps_ns: tuple[tuple[int, int], ...] = ()
