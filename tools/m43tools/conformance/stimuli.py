"""What is done to a lens: named lists of operations, each the stimulus of one or more cases.

No stimulus knows the lens beforehand: focus targets are relative to where the focus rests and how far it goes, as the
lens told when it was asked (`Known`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from m43proto.dialects import DIALECTS
from m43proto.encodings import F_NUMBER, f_number_of
from m43proto.messages import (
    BodyCapability,
    Drive,
    Identify,
    Initialise,
    InitialiseF0,
    LinkCapability,
    ReadC2F3,
    ReadLensData,
    SetFocusRing,
    SetStabilisation,
    StabilisationStatus,
    Status,
)
from m43tools.conformance.operations import (
    MS,
    SECOND,
    US,
    Attention,
    Broken,
    ClockHold,
    Cut,
    Frame,
    Operation,
    Pace,
    Pause,
    PowerDown,
    PowerUp,
    Remove,
    Settle,
    Speak,
    StrayClocks,
    Transact,
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from m43proto.dialects import Dialect
    from m43proto.schema import Message
    from m43tools.conformance.operations import Step

__all__ = [
    "DESCRIPTION",
    "INTERVIEW",
    "REACH",
    "REVIVAL",
    "SANITY",
    "STIMULI",
    "Known",
    "Soak",
    "State",
    "Stimulus",
    "start_up",
]

FAR = 0x7FFF
"""The target with which a body program scans to the far end (BELL@0b15280)."""


@dataclass(frozen=True, slots=True)
class Soak:
    """How long the polling cases poll, each."""

    duration_ns: int = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Known:
    """What a lens told of itself in the interview, as far as it did.

    Attributes:
        widest_av: its aperture at power-up, as a wire word.
        rest: focus position at power-up.
        far: focus position at the far end stop.
        soak: how long polling lasts.
    """

    widest_av: int = 945
    rest: int = 0
    far: int = 400
    soak: Soak = field(default_factory=Soak)

    def focus(self, share: float) -> int:
        """Return a position between where the focus rests (0) and the far end stop (1)."""
        return round(self.rest + (self.far - self.rest) * share)

    def aperture(self, steps: float) -> float:
        """Return the f-number so many Av steps behind the widest aperture."""
        return f_number_of(self.widest_av + round(256 * steps))


class State(StrEnum):
    """What a lens has come to before the deeds of a stimulus begin."""

    OFF = "off"
    POWERED = "powered"
    STARTED = "init done"
    IDLE = "focus idle"

    @property
    def meaning(self) -> str:
        """One sentence for the reader of the specification."""
        return _MEANINGS[self]


_MEANINGS = {
    State.OFF: "SLEEP is low; nothing is taken for granted. How the lens wakes and starts is what the stimulus shows.",
    State.POWERED: "SLEEP is high, and the wake pulse was seen.",
    State.STARTED: "The commands of the start-up came to their ends, so the lens answers polls and takes drives.",
    State.IDLE: "The start-up is done, and three statuses in a row agreed: nothing moves.",
}


def _no_more(known: Known) -> Iterator[list[Operation]]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A named list of operations.

    Attributes:
        name: its stable name.
        doc: what it does.
        deeds: from what is known of the lens to what is done to it, once it is in the state to start from.
        start: that state; the operations of `REACH` bring the lens there first.
        more: what follows, piece by piece; each piece is judged and forgotten, so that an hour takes no more memory
            than a second.
    """

    name: str
    doc: str
    deeds: Callable[[Known], list[Operation]]
    start: State = State.OFF
    more: Callable[[Known], Iterator[list[Operation]]] = _no_more

    def operations(self, known: Known) -> list[Operation]:
        """Return all that is done: what brings the lens to `start`, and the deeds."""
        return [*REACH[self.start], *self.deeds(known)]

    def unreached(self, steps: Sequence[Step]) -> str:
        """Return why the lens did not come to `start`, by what a bench did of `operations`; empty where it did."""
        first = next((step for step in steps[: len(REACH[self.start])] if not step.done), None)
        if first is None:
            return ""
        what = type(first.operation).__name__
        command = getattr(first.operation, "command", b"")
        return f"the lens did not come to '{self.start}': {what} {command.hex(' ')}".rstrip() + " failed"

    @property
    def lasts(self) -> bool:
        """Whether it comes in pieces."""
        return self.more is not _no_more


def _ask(message: Message, then_ns: int = MS) -> Transact:
    return Transact(message.command, message.block, then_ns)


def _set(f_number: float) -> Transact:
    return _ask(Drive(aperture_operation="set", aperture_f=f_number))


def _focus(target: int, operation: str = "move") -> Transact:
    return _ask(Drive(focus_operation=operation, focus_target=target))


POLL = Status.request()
SET_UP = Drive(focus_operation="setup", aperture_operation="leave", aperture_f=1.0)
LEAVE = Drive()


def start_up(dialect: str = "E-PL1", *, hold: bool = True) -> list[Operation]:
    """Return power-up, and the commands that start a lens."""
    chosen: Dialect = DIALECTS[dialect]
    found: list[Operation] = [PowerUp()]
    for step in chosen.steps:
        found.append(Transact(step.command, step.block))
        if step.clock_hold and hold:
            found.append(ClockHold())
    return found


SANITY: list[Operation] = [Pace("watchful"), Transact(POLL, then_ns=60 * MS), Transact(POLL)]
"""What a lens that is in order answers behind any stimulus, at the second try at the latest."""

REVIVAL: list[Operation] = [PowerDown(), *start_up(), Transact(POLL)]
"""What is tried with a lens that is not in order any more."""

REACH: Mapping[State, tuple[Operation, ...]] = MappingProxyType(
    {
        State.OFF: (),
        State.POWERED: (PowerUp(),),
        State.STARTED: tuple(start_up()),
        State.IDLE: (*start_up(), Settle()),
    }
)
"""What brings a lens that is off to a state."""


def _tour(known: Known) -> list[Operation]:
    """Start up as one body does, and do a little of everything."""
    return [
        *start_up("E-P1"),
        *(Transact(Status.request(format=b"\x02")) for _ in range(3)),
        Transact(Identify.request()),
        Transact(LinkCapability.request()),
        Transact(SetFocusRing.request(ring_direction="reverse")),
        Transact(SetFocusRing.request(ring_direction="forward")),
        _ask(SET_UP),
        Settle(),
        _set(f_number_of(1400)),
        Settle(),
        _focus(300),
        Settle(),
        _focus(100),
        Settle(),
        _focus(FAR, "scan"),
        Settle(),
        Transact(BodyCapability().command, bytes.fromhex("00d10002")),
    ]


def _apertures(known: Known) -> list[Operation]:
    found: list[Operation] = []
    for steps in (1, 2, 3, 4, 3, 2, 1, 0, 2.25, 0.75, 2.25, 3.5, 2.25):
        found += [_set(known.aperture(steps)), Settle()]
    return found


def _focus_sweep(known: Known) -> list[Operation]:
    found: list[Operation] = []
    for share in (0.2, 0.4, 0.6, 0.8, 0.95, 0.7, 0.5, 0.3, 0.1, 0.5, 0.9, 0.5, 0.1, 0.5):
        found += [_focus(known.focus(share)), Settle()]
    return found


def _all(*operations: Operation) -> list[Operation]:
    return list(operations)


def _many(operation: Operation, count: int) -> list[Operation]:
    return [operation] * count


def _many_of(commands: tuple[bytes, ...], count: int) -> list[Operation]:
    return [Transact(command) for _ in range(count) for command in commands]


PIECE_NS = 2 * SECOND
"""Length of a piece of polling: what is held in memory at once."""


def _frames(rate_hz: int, count: int) -> list[Operation]:
    rest_ns = SECOND // rate_hz - 3_800 * US
    return [operation for _ in range(count) for operation in (Frame(), Transact(POLL, then_ns=rest_ns))]


def _polling(rate_hz: int) -> Stimulus:
    piece = PIECE_NS * rate_hz // SECOND

    def count(known: Known) -> int:
        return max(known.soak.duration_ns * rate_hz // SECOND, 4)

    def operations(known: Known) -> list[Operation]:
        return _frames(rate_hz, min(count(known), piece))

    def more(known: Known) -> Iterator[list[Operation]]:
        for start in range(piece, count(known), piece):
            yield _frames(rate_hz, min(piece, count(known) - start))

    return Stimulus(f"poll at {rate_hz} Hz", f"polls {rate_hz} times a second", operations, State.STARTED, more)


def _patterns(known: Known) -> list[Operation]:
    """Write blocks whose sums differ in every bit; drives that leave everything alone, so nothing moves."""
    found = start_up()
    for word in (0, 0x00FF, 0x7F01, -1, -256, 0x55AA, 0x0180):
        found.append(_ask(Drive(focus_target=word & 0x7FFF if word >= 0 else word, unknown_7=b"\x00\x00")))
    return [*found, Transact(BodyCapability().command, bytes.fromhex("00d10002"))]


_RING = SetFocusRing.request(ring_direction="forward")
_WRITE = LEAVE.command
_BLOCK = (10).to_bytes(2, "little") + LEAVE.block

_READ_NS = 1_200 * US
"""Well within the block of a status: the command takes 0.3 ms, the block 1.6 ms."""

_ROWS: tuple[tuple[str, str, State, Callable[[Known], list[Operation]]], ...] = (
    ("tour", "starts up as the E-P1 does, and does a little of everything", State.OFF, _tour),
    (
        "goodbye",
        "starts up as the E-PL1 does, polls, and switches off",
        State.OFF,
        lambda known: [*start_up(), *_many(Transact(POLL), 3), PowerDown(), *start_up(hold=False), Transact(POLL)],
    ),
    (
        "rewake",
        "switches on and off five times",
        State.OFF,
        lambda known: (
            [
                operation
                for _ in range(5)
                for operation in (PowerUp(), Transact(Initialise.request()), Transact(Identify.request()), PowerDown())
            ]
            + start_up()
        ),
    ),
    (
        "both forms",
        "polls in both forms, in turn",
        State.STARTED,
        lambda known: _all(Transact(POLL), *_many_of((Status.request(format=b"\x02"), POLL), 3)),
    ),
    ("patterns", "writes blocks whose sums differ in every bit", State.OFF, _patterns),
    (
        "blind",
        "does not watch the acknowledges, as the public body program",
        State.OFF,
        lambda known: [Pace("blind"), *start_up(), *_many(Transact(POLL), 5), _ask(LEAVE)],
    ),
    (
        "half clock",
        "clocks at 500 kHz",
        State.OFF,
        lambda known: [Pace("500 kHz"), *start_up(), *_many(Transact(POLL), 5), _ask(LEAVE)],
    ),
    (
        "stretched",
        "keeps CLK low for 28 us in each bit",
        State.STARTED,
        lambda known: [Pace("stretched"), *_many(Transact(POLL), 2), _ask(LEAVE)],
    ),
    (
        "slow hand",
        "takes milliseconds for each step of the handshake",
        State.STARTED,
        lambda known: [Pace("slow hand"), Transact(POLL), _ask(LEAVE)],
    ),
    (
        "block at once",
        "begins a block 1 us behind the sum of the command",
        State.STARTED,
        lambda known: [Pace("at once"), *_many(_ask(LEAVE), 3)],
    ),
    (
        "block late",
        "begins a block 5 ms behind the sum of the command",
        State.STARTED,
        lambda known: [Pace("late block"), *_many(_ask(LEAVE), 3)],
    ),
    (
        "exposure",
        "holds CLK low for 5 ms between polls, as around an exposure",
        State.STARTED,
        lambda known: _all(Transact(POLL), ClockHold(5 * MS), Transact(POLL), ClockHold(50 * MS), Transact(POLL)),
    ),
    (
        "stray clocks",
        "pulses CLK while BODY_ACK is low",
        State.STARTED,
        lambda known: _all(Transact(POLL), StrayClocks(1), Transact(POLL), StrayClocks(11), Transact(POLL)),
    ),
    (
        "attention",
        "asks for attention and says nothing",
        State.STARTED,
        lambda known: _all(*(operation for _ in range(3) for operation in (Attention(), Transact(POLL)))),
    ),
    *(
        (
            f"short command {count}",
            f"hands over behind {count} bytes of a command",
            State.STARTED,
            lambda known, count=count: _all(Speak((POLL[:count],), 0), Transact(POLL), Transact(POLL)),
        )
        for count in (1, 2, 3)
    ),
    (
        "long command",
        "clocks five bytes of a command",
        State.STARTED,
        lambda known: _all(Speak((_RING + b"\x00",), 1), Pause(100 * MS), *_many(Transact(POLL), 2)),
    ),
    (
        "seven clocks",
        "drops BODY_ACK behind seven clocks of a byte",
        State.STARTED,
        lambda known: _all(Broken(b"", 7), *_many(Transact(POLL), 2), Broken(POLL[:2], 7), *_many(Transact(POLL), 2)),
    ),
    (
        "one clock",
        "drops BODY_ACK behind one clock of the last byte",
        State.STARTED,
        lambda known: _all(Broken(POLL[:3], 1), *_many(Transact(POLL), 2)),
    ),
    (
        "unknown shape",
        "says a command whose first nibble nobody knows",
        State.STARTED,
        lambda known: _all(*(one for nibble in (0x10, 0x30, 0xF0) for one in _unknown_shape(nibble))),
    ),
    (
        "unknown read",
        "reads what no source knows",
        State.STARTED,
        lambda known: _all(Transact(bytes.fromhex("c1ee0000")), *_many(Transact(POLL), 2)),
    ),
    (
        "unknown set",
        "sets what no source knows",
        State.STARTED,
        lambda known: _all(Transact(bytes.fromhex("a0ee0000")), *_many(Transact(POLL), 2)),
    ),
    (
        "unknown completion",
        "completes what no source knows",
        State.STARTED,
        lambda known: _all(Transact(bytes.fromhex("b0ee0000")), *_many(Transact(POLL), 2)),
    ),
    (
        "unknown write",
        "writes what no source knows",
        State.STARTED,
        lambda known: _all(Transact(bytes.fromhex("60ee0000"), bytes(4)), *_many(Transact(POLL), 2)),
    ),
    (
        "block too short",
        "hands over before a block is as long as its length word says",
        State.STARTED,
        lambda known: _all(Speak((_WRITE, _BLOCK[:-3]), 1), Pause(100 * MS), *_many(Transact(POLL), 2)),
    ),
    (
        "other sized drive",
        "writes a drive with a block of another size",
        State.STARTED,
        lambda known: _all(Transact(_WRITE, bytes(4)), Transact(_WRITE, bytes(40)), *_many(Transact(POLL), 2)),
    ),
    (
        "deaf",
        "never takes the sum of a command, then switches off and on",
        State.STARTED,
        lambda known: _all(Speak((POLL,), 0), Pause(60 * MS), *REVIVAL),
    ),
    (
        "cut in command",
        "drops SLEEP in the middle of a command",
        State.STARTED,
        lambda known: _all(Cut(POLL, 45 * US), *REVIVAL),
    ),
    (
        "cut in block",
        "drops SLEEP in the middle of a block that the lens sends",
        State.STARTED,
        lambda known: _all(Cut(POLL, _READ_NS), *REVIVAL),
    ),
    (
        "cut in write",
        "drops SLEEP in the middle of a block that the body writes",
        State.STARTED,
        lambda known: _all(Cut(LEAVE.command, 500 * US, LEAVE.block), *REVIVAL),
    ),
    (
        "cut while busy",
        "drops SLEEP while the lens is busy",
        State.POWERED,
        lambda known: [Cut(Initialise.request(), 700 * US), *REVIVAL],
    ),
    (
        "cut in drive",
        "drops SLEEP while the focus moves",
        State.STARTED,
        lambda known: _all(_focus(known.focus(0.9)), Cut(POLL, _READ_NS), *REVIVAL),
    ),
    (
        "power glitch",
        "drops SLEEP for 1 ms in the middle of a block that the lens sends, and starts it anew",
        State.STARTED,
        lambda known: _all(Cut(POLL, _READ_NS, off_ns=MS), *start_up(), Transact(POLL)),
    ),
    (
        "removed",
        "takes the lens off in the middle of a block, and puts it on again",
        State.STARTED,
        lambda known: _all(Remove(POLL, _READ_NS), *start_up(), Transact(POLL)),
    ),
    (
        "pauses",
        "leaves a lens alone for seconds, and then has no pause at all",
        State.STARTED,
        lambda known: _all(
            Transact(POLL), Pause(2 * SECOND), Transact(POLL), *_many(Transact(POLL, then_ns=10 * US), 10)
        ),
    ),
    (
        "first F0",
        "begins with B0 F0, as another source shows",
        State.POWERED,
        lambda known: [Transact(InitialiseF0.request()), *start_up()[1:], Transact(POLL)],
    ),
    (
        "lens data",
        "reads the long block of lens data, twice",
        State.STARTED,
        lambda known: _all(Transact(ReadLensData.request()), Transact(ReadLensData.request()), Transact(POLL)),
    ),
    (
        "C2 F3",
        "reads what C2 F3 gives",
        State.STARTED,
        lambda known: _all(Transact(ReadC2F3.request()), Transact(POLL)),
    ),
    ("apertures", "sets apertures over the range, up and down", State.STARTED, _apertures),
    (
        "aperture ends",
        "sets apertures beyond both ends of the range",
        State.STARTED,
        lambda known: _all(_set(f_number_of(0)), Settle(), _set(64.0), Settle(), _set(known.aperture(1)), Settle()),
    ),
    ("focus sweep", "moves the focus over its range, up and down", State.IDLE, _focus_sweep),
    (
        "far end",
        "scans to the far end stop, three times",
        State.IDLE,
        lambda known: _all(
            *(one for _ in range(3) for one in (_focus(FAR, "scan"), Settle(), _focus(known.focus(0.5)), Settle()))
        ),
    ),
    (
        "near end",
        "drives the focus beyond its near end stop",
        State.IDLE,
        lambda known: _all(
            *(one for _ in range(2) for one in (_focus(-0x7FFF), Settle(), _focus(known.focus(0.5)), Settle()))
        ),
    ),
    (
        "same target",
        "drives to where the focus stands already",
        State.IDLE,
        lambda known: _all(_focus(known.focus(0.5)), Settle(), _focus(known.focus(0.5)), Settle()),
    ),
    (
        "new target",
        "gives another target while the focus moves",
        State.IDLE,
        lambda known: _all(
            _focus(known.focus(0.9)), Pause(40 * MS), Transact(POLL), _focus(known.focus(0.2)), Settle()
        ),
    ),
    (
        "leave alone",
        "sends drives that leave focus, aperture or both alone",
        State.STARTED,
        lambda known: _all(
            _set(known.aperture(2)),
            Settle(),
            _focus(known.focus(0.4)),
            Settle(),
            _ask(Drive(aperture_f=known.aperture(1), focus_target=known.focus(0.6))),
            Settle(),
            _ask(SET_UP),
            Settle(),
            _set(known.aperture(1)),
            Settle(),
        ),
    ),
    (
        "both at once",
        "drives focus and aperture in one command",
        State.IDLE,
        lambda known: _all(
            _ask(
                Drive(
                    focus_operation="move",
                    aperture_operation="set",
                    aperture_f=known.aperture(2),
                    focus_target=known.focus(0.6),
                )
            ),
            Settle(),
        ),
    ),
    (
        "focus ring",
        "turns the focus ring, forward and then reversed",
        State.IDLE,
        lambda known: _all(
            _focus(known.focus(0.5)),
            Settle(),
            Turn("focus", 40),
            Settle(),
            Transact(SetFocusRing.request(ring_direction="reverse")),
            Turn("focus", 40),
            Settle(),
            Turn("focus", -40),
            Settle(),
        ),
    ),
    (
        "zoom ring",
        "turns the zoom ring to and fro while it polls",
        State.STARTED,
        lambda known: _all(
            _set(known.aperture(2)),
            Settle(),
            *(one for step in (5, 12, 20, 31, 18, 6, 0) for one in (Turn("zoom", step), Transact(POLL), Settle())),
        ),
    ),
    (
        "stabilisation",
        "sets the stabiliser by the placeholders, and reads what it does",
        State.STARTED,
        lambda known: _all(
            Transact(StabilisationStatus.request()),
            _ask(SetStabilisation(mode="all-axes", corrector="lens", focal_length_mm=20.0)),
            Pause(SECOND),
            Transact(StabilisationStatus.request()),
            _ask(SetStabilisation(mode="off", corrector="lens", focal_length_mm=20.0)),
            Pause(SECOND),
            Transact(StabilisationStatus.request()),
        ),
    ),
)


def _unknown_shape(nibble: int) -> list[Operation]:
    return [Speak((bytes([nibble, 0x80, 0, 0]),), 1), Transact(POLL), Transact(POLL)]


STIMULI: dict[str, Stimulus] = {name: Stimulus(name, doc, deeds, start) for name, doc, start, deeds in _ROWS} | {
    stimulus.name: stimulus for stimulus in map(_polling, (30, 60, 120))
}
"""Every stimulus by its name."""

DESCRIPTION = tuple(STIMULI[name] for name in ("tour", "aperture ends", "lens data", "stabilisation"))
"""The stimuli in which a lens tells what its capability statement says; the last one is made of placeholders."""

INTERVIEW = STIMULI["tour"]
"""The stimulus that comes first: what a lens tells in it, the others build on."""


def known_from(widest_f: float | None, rest: int | None, far: int | None, soak: Soak) -> Known:
    """Return what a lens told in the interview; where it did not, usual figures."""
    usual = Known()
    return Known(
        usual.widest_av if widest_f is None else F_NUMBER.encode(widest_f),
        usual.rest if rest is None else rest,
        usual.far if far is None else far,
        soak,
    )
