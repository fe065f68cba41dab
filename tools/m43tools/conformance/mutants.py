"""Lenses with one small defect each: what the cases must be able to tell from a good one.

Each row of `MUTANTS` names the cases that are written for its defect; the kill matrix demands that they turn red.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43proto.checksum import wire_sum
from m43proto.encodings import F_NUMBER, f_number_of
from m43proto.ends import Answer, PinLens, _reach
from m43proto.messages import Drive
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, Shape
from m43proto.timing import LensTiming, replaced
from m43tools.conformance.bench import SimBench
from m43tools.conformance.operations import MS, SECOND, US

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.simulator.faults import Faults
    from m43drivers.simulator.profiles import Profile
    from m43proto.catalogue import Catalogue
    from m43proto.ends import Script
    from m43proto.messages import Status

__all__ = ["BASE", "MUTANTS", "Mutant", "bench_with"]

BASE = PROFILES["panasonic-pz-14-42"]
"""The good lens that the mutants are bent from: it zooms and has a stabiliser, so that every case applies."""

_CLK, _BODY_ACK, _LENS_ACK = Line.CLK.mask, Line.BODY_ACK.mask, Line.LENS_ACK.mask
_SLEEP, _SHUTTER = Line.SLEEP.mask, Line.SHUTTER.mask


# what is behind the pins


class BentGlass(SimulatedLens):
    """A lens whose answers, statuses and drives are bent on their way."""

    bend_answer: Callable[[BentGlass, bytes, Answer], Answer] = staticmethod(lambda glass, command, answer: answer)
    bend_status: Callable[[BentGlass, Status, int], Status] = staticmethod(lambda glass, status, now_ns: status)
    bend_drive: Callable[[BentGlass, Drive, int], Drive | None] = staticmethod(lambda glass, drive, now_ns: drive)
    bend_odd: Callable[[BentGlass, bytes, int], None] = staticmethod(lambda glass, block, now_ns: None)
    hand: bool = True
    wakes = 0
    asked = 0
    frozen = False

    def answer(self, command: bytes, now_ns: int) -> Answer:
        self.asked += 1
        return self.bend_answer(self, command, super().answer(command, now_ns))

    def status(self, now_ns: int) -> Status:
        return self.bend_status(self, super().status(now_ns), now_ns)

    def take(self, command: bytes, block: bytes, now_ns: int) -> None:
        if command.startswith(Drive.spec.opcode) and len(block) + 2 == Drive.spec.size:
            drive = self.bend_drive(self, Drive.parse(command[2:] + block), now_ns)
            if drive is not None:
                super().take(drive.command, drive.block, now_ns)
            return
        if command.startswith(Drive.spec.opcode):
            self.bend_odd(self, block, now_ns)
        super().take(command, block, now_ns)

    def turn_focus_ring(self, counts: int, now_ns: int) -> None:
        if self.hand:
            super().turn_focus_ring(counts, now_ns)

    def turn_zoom(self, step: int, now_ns: int) -> None:
        self.frozen = True
        if self.hand:
            super().turn_zoom(step, now_ns)
        else:
            self.zoom_step = step


class _BigEndian(Answer):
    """An answer whose length word has its bytes the other way round."""

    def wire_block(self) -> bytes:
        block = super().wire_block()
        return block[1::-1] + block[LENGTH_SIZE:]


# the pins


class BentPins(PinLens):
    """Pins that go wrong as their attributes say."""

    takes_whole_bytes = True
    no_wake_from = 0
    early_wake = False
    slow_to_sleep = False
    forgets_power = False
    ignores: Callable[[BentPins, bytes], bool] | None = None
    skips: Callable[[BentPins], bool] | None = None
    deaf_after_break = False
    deaf_after_extra = False
    deaf_after_unknown = False
    drops_unknown = False
    no_ack_at = -1
    seven_at = -1
    lifts_at_hand_over = False
    hasty_release = False
    no_work = False
    extra_after: Shape | None = None
    silent_at = -1
    unasked = False
    length_in_sum = False
    longest_byte_ns = 0
    patience_ns = 0
    block_not_before_ns = 0
    block_not_after_ns = 0
    held_ns = (0, 0)
    needs_hold = False
    _deaf = False
    _served = 0
    _fell_ns = 0
    _held = False
    _spoilt = False
    _shutters = (-2 * SECOND, -SECOND)
    _ended_ns = 0
    _lines = 0

    def advance(self, now_ns: int, levels: int, changed: int | None = None) -> int:
        rose, fell = levels & ~self._lines, self._lines & ~levels
        self._lines = levels
        if fell & _CLK:
            self._fell_ns = now_ns
        if rose & _CLK and not levels & _BODY_ACK and levels & _SLEEP:
            width_ns = now_ns - self._fell_ns
            self._held = self._held or width_ns > 200 * US
            self._spoilt = self._spoilt or self.held_ns[0] < width_ns < self.held_ns[1]
        if rose & _SHUTTER:
            self._shutters = (self._shutters[1], now_ns)
        due_ns = super().advance(now_ns, levels, changed)
        self.watches_rises |= _CLK | _SHUTTER
        self.watches_falls |= _CLK
        return due_ns

    @property
    def glass(self) -> BentGlass:
        assert isinstance(self._glass, BentGlass)
        return self._glass

    def _lose_power(self) -> None:
        if self.forgets_power:
            return
        lens_ack = self.outputs & _LENS_ACK
        self._spoilt = self._held = self._deaf = False
        super()._lose_power()
        if self.slow_to_sleep and lens_ack:
            self._set(_LENS_ACK, 1)
            self._start(self._sleepy())

    def _sleepy(self) -> Script[None]:
        yield 5 * MS
        self._set(_LENS_ACK, 0)
        yield from self._live()

    def _wake(self) -> Script[None]:
        self.glass.wakes += 1
        if self.no_wake_from and self.glass.wakes >= self.no_wake_from:
            yield from self._reach_body(high=True)
            yield from self._reach_body(high=False)
            return
        if self.early_wake:
            yield MS
            self._set(_LENS_ACK, 1)
            yield 10 * MS
            self._set(_LENS_ACK, 0)
        yield from super()._wake()

    def _reach_body(self, *, high: bool) -> Script[None]:
        yield _reach(_BODY_ACK, _BODY_ACK if high else 0)

    def _serve(self) -> Script[bool]:
        self._served += 1
        if self._deaf:
            yield SECOND
            return True
        yield from self._reach_body(high=True)
        if self._spoilt or (self.skips is not None and self.skips(self)):
            self._spoilt = False
            yield from self._reach_body(high=False)
            return True
        went_on = yield from super()._serve()
        if not went_on and self.deaf_after_break:
            self._deaf = True
        self._ended_ns = self.now_ns
        if self.unasked:
            yield 100 * US
            self._set(_LENS_ACK, 1)
            yield 5 * US
            self._set(_LENS_ACK, 0)
        return went_on

    def _say(self, values: bytes, *, first: bool = True) -> Script[bool]:
        if self.silent_at == self._served and len(values) > 10:
            yield from super()._say(values[:9], first=first)
            yield 200 * MS
            return True
        if self.patience_ns or self.hasty_release:
            return (yield from self._say_hastily(values, first=first))
        return (yield from super()._say(values, first=first))

    def _say_hastily(self, values: bytes, *, first: bool) -> Script[bool]:
        timing = self.timing
        for value in values:
            yield timing.sum_ns if first else timing.reply_ns
            first = False
            self.drives |= Line.DATA.mask
            self._set(_LENS_ACK, 1)
            waited_ns = self.now_ns
            yield from self._reach_body(high=True)
            if self.patience_ns and self.now_ns - waited_ns > self.patience_ns:
                return False
            if not (yield from self._shift_out(value)):
                return False
            if not self.hasty_release:
                yield from self._reach_body(high=False)
            self._set(_LENS_ACK, 0)
            yield from self._reach_body(high=False)
        self.drives &= ~Line.DATA.mask
        return True

    def _hear(self, size: int | None) -> Script[bytes | None]:
        if not self._is_odd_hearer:
            heard = yield from super()._hear(size)
        else:
            heard = yield from self._hear_oddly(size)
        if heard is not None and size == COMMAND_SIZE and self.ignores is not None and self.ignores(self, heard):
            yield 60 * MS
            return None
        return heard

    @property
    def _is_odd_hearer(self) -> bool:
        return self.no_ack_at >= 0 or self.seven_at >= 0 or self.lifts_at_hand_over or self.deaf_after_extra

    def _hear_oddly(self, size: int | None) -> Script[bytes | None]:
        timing = self.timing
        yield from self._reach_body(high=True)
        yield timing.answer_ns
        self._set(_LENS_ACK, 1)
        heard = bytearray()
        wanted = COMMAND_SIZE if size is None else size
        while True:
            value = yield from self._shift_in()
            if value is None:
                return None
            heard.append(value)
            if size is None and len(heard) == LENGTH_SIZE:
                wanted = LENGTH_SIZE + max(int.from_bytes(heard, "little") - 1, 0)
            if len(heard) == self.no_ack_at and self._served == 12:
                self.no_ack_at = -2
                continue
            yield timing.ack_ns if self._served != self.seven_at or len(heard) > 1 else 1
            self._set(_LENS_ACK, 0)
            if len(heard) == wanted:
                break
            yield timing.ack_width_ns
            self._set(_LENS_ACK, 1)
        yield from self._hand_over()
        return bytes(heard)

    def _hand_over(self) -> Script[None]:
        levels = yield self.timing.ack_width_ns
        if self.lifts_at_hand_over and levels & _BODY_ACK:
            self._set(_LENS_ACK, 1)
        clocked = self._fell_ns
        yield from self._reach_body(high=False)
        self._set(_LENS_ACK, 0)
        self._deaf = self._deaf or (self.deaf_after_extra and self._fell_ns > clocked)

    def _shift_in(self) -> Script[int | None]:
        if self._served == self.seven_at:
            return (yield from self._shift_seven())
        start_ns = self._fell_ns if self._levels & _CLK == 0 else self.now_ns
        value = yield from super()._shift_in()
        if self.longest_byte_ns and self.now_ns - max(start_ns, self._byte_began_ns()) > self.longest_byte_ns:
            return None
        return value

    def _byte_began_ns(self) -> int:
        return self.now_ns - BITS_PER_BYTE * (self.now_ns - self._fell_ns) * 2

    def _shift_seven(self) -> Script[int | None]:
        for _ in range(7):
            levels = self._levels
            while levels & _CLK:
                levels = yield 50
            while not levels & _CLK:
                levels = yield 50
        return 0

    def _work(self, busy_ns: int) -> Script[None]:
        if self.no_work:
            yield from self._reach_body(high=True)
            yield from self._reach_body(high=False)
            return
        yield from super()._work(busy_ns)

    def _follow(self, command: bytes, shape: Shape, answer: Answer) -> Script[bool]:
        known = (
            self.glass._answers.keys() | self.glass._takes.keys() | {b"\x60\xf0", b"\xa0\xf5", b"\xc2\xf3", b"\xb0\xf0"}
        )
        if self.drops_unknown and command[:2] not in known and shape is not Shape.SET:
            return True
        if self.deaf_after_unknown and command[:2] not in known:
            self._deaf = True
        went_on = yield from super()._follow(command, shape, answer)
        if self.needs_hold and command[:2] == b"\xa0\xf5":
            self._held = False
            yield 5 * MS
            self._spoilt = not self._held
        if self.extra_after is shape:
            return (yield from self._say(b"\0"))
        return went_on

    def _take_block(self, command: bytes, answer: Answer) -> Script[bool]:
        if self.block_not_before_ns and (yield self.block_not_before_ns) & _BODY_ACK:
            yield from self._reach_body(high=False)
            return True
        waited_ns = self.now_ns
        yield from self._reach_body(high=True)
        if self.block_not_after_ns and self.now_ns - waited_ns > self.block_not_after_ns:
            yield from self._reach_body(high=False)
            return True
        if self.length_in_sum:
            return (yield from self._sum_it_all(command))
        return (yield from super()._take_block(command, answer))

    def _sum_it_all(self, command: bytes) -> Script[bool]:
        block = yield from self._hear(None)
        if block is None or not (yield from self._say(bytes([wire_sum(block)]))):
            return False
        self._glass.take(command, block[LENGTH_SIZE:], self.now_ns)
        return True


def _unknown_shape_deaf(pins: BentPins, command: bytes) -> bool:
    if command[0] >> 4 in (1, 3, 0xF):
        pins._deaf = True
        return True
    return False


# the table


@dataclass(frozen=True, slots=True)
class Mutant:
    """A lens with one defect.

    Attributes:
        name: its name.
        doc: what is wrong with it.
        meant: ids of the cases that are written for it.
        profile: what is changed in the profile.
        timing: what is changed in the delays.
        glass: attributes of its `BentGlass`.
        pins: attributes of its `BentPins`.
    """

    name: str
    doc: str
    meant: tuple[str, ...]
    profile: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, int] = field(default_factory=dict)
    glass: dict[str, Any] = field(default_factory=dict)
    pins: dict[str, Any] = field(default_factory=dict)


def bench_with(mutant: Mutant, catalogue: Catalogue) -> SimBench:
    """Return a bench with a mutant of `BASE`."""

    def glass(profile: Profile, faults: Faults, known: Catalogue) -> SimulatedLens:
        made = BentGlass(profile, faults, known)
        for name, value in mutant.glass.items():
            setattr(made, name, value)
        return made

    def pins(behind: BentGlass, timing: LensTiming, shape_of: Callable[[bytes], Shape | None]) -> PinLens:
        if not mutant.pins:
            return pin_lens(behind, timing, shape_of)
        made = BentPins(replaced(timing, wake_ns=max(timing.wake_ns, behind.profile.wake_ns)), behind, shape_of)
        made.takes_whole_bytes = mutant.pins.get("takes_whole_bytes", True)  # type: ignore[misc]
        for name, value in mutant.pins.items():
            setattr(made, name, value)
        return made

    timing = replaced(LensTiming(), **mutant.timing)
    return SimBench(
        BASE.replace(**mutant.profile), timing=timing, catalogue=catalogue, glass=glass, pins=pins, name=mutant.name
    )


def _answer(opcode: str, bend: Callable[[BentGlass, bytes], bytes]) -> dict[str, Any]:
    """Bend the block that answers a command."""
    head = bytes.fromhex(opcode)

    def bent(glass: BentGlass, command: bytes, answer: Answer) -> Answer:
        return dataclasses.replace(answer, block=bend(glass, answer.block)) if command.startswith(head) else answer

    return {"bend_answer": bent}


def _at(index: int, *values: int) -> Callable[[BentGlass, bytes], bytes]:
    return lambda glass, block: block[:index] + bytes(values) + block[index + len(values) :]


def _status(**bends: Callable[[BentGlass, Status, int], Any]) -> dict[str, Any]:
    def bent(glass: BentGlass, status: Status, now_ns: int) -> Status:
        return dataclasses.replace(status, **{name: bend(glass, status, now_ns) for name, bend in bends.items()})

    return {"bend_status": bent}


def _drive(bend: Callable[[BentGlass, Drive, int], Drive | None]) -> dict[str, Any]:
    return {"bend_drive": bend}


def _off(words: int) -> Callable[[BentGlass, Drive, int], Drive]:
    """Set an aperture that many words too small."""

    def bend(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
        word = min(F_NUMBER.encode(drive.aperture_f) + words, 0xFFFF)
        return dataclasses.replace(drive, aperture_f=f_number_of(word))

    return bend


def _beside(counts: int) -> Callable[[BentGlass, Drive, int], Drive]:
    """Move the focus that many counts too far, in the direction of the drive."""

    def bend(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
        if drive.focus_operation != "move" or abs(drive.focus_target) > 30_000:
            return drive
        way = math.copysign(1, drive.focus_target - glass.focus.position(now_ns))
        return dataclasses.replace(drive, focus_target=drive.focus_target + round(way * counts))

    return bend


def _drifts(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    """Come to rest somewhere else each time at an end stop."""
    if abs(drive.focus_target) < 30_000:
        return drive
    end = glass.focus.high if drive.focus_target > 0 else glass.focus.low
    glass.asked += 7
    return dataclasses.replace(drive, focus_target=round(end - math.copysign(glass.asked % 50 + 10, end)))


def _jiggles(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    near = abs(drive.focus_target - glass.focus.position(now_ns)) <= 4
    if drive.focus_operation == "move" and near:
        return dataclasses.replace(drive, focus_target=drive.focus_target + 12)
    return drive


def _stubborn(glass: BentGlass, drive: Drive, now_ns: int) -> Drive | None:
    return None if drive.focus_operation == "move" and glass.focus.moving(now_ns) else drive


def _also_focus(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    if drive.aperture_operation == "set" and drive.focus_operation == "leave":
        return dataclasses.replace(drive, focus_operation="move", focus_target=round(glass.focus.target) + 10)
    return drive


def _also_aperture(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    if drive.focus_operation == "move" and drive.aperture_operation == "leave":
        return dataclasses.replace(drive, aperture_operation="set", aperture_f=8.0 + len(str(drive.focus_target)))
    return drive


def _set_up_moves(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    if drive.focus_operation == "setup":
        return dataclasses.replace(drive, focus_operation="move", focus_target=round(glass.focus.target) + 20)
    return drive


def _only_focus(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    both = drive.focus_operation == "move" and drive.aperture_operation == "set"
    return dataclasses.replace(drive, aperture_operation="leave") if both else drive


def _reversed_aperture(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    if drive.aperture_operation != "set":
        return drive
    word = F_NUMBER.encode(drive.aperture_f)
    return dataclasses.replace(drive, aperture_f=f_number_of(max(2 * 1400 - word, 0)))


def _one_sided(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    """Set an aperture that depends on which side it comes from."""
    if drive.aperture_operation != "set":
        return drive
    word = F_NUMBER.encode(drive.aperture_f)
    closing = word > glass.aperture_av(now_ns)
    return dataclasses.replace(drive, aperture_f=f_number_of(word + (64 if closing else 0)))


def _wraps(glass: BentGlass, drive: Drive, now_ns: int) -> Drive:
    if drive.aperture_operation == "set" and drive.aperture_f > 45:
        return dataclasses.replace(drive, aperture_f=1.0)
    return drive


def _always_forward(glass: BentGlass, command: bytes, answer: Answer) -> Answer:
    glass.ring_direction = "forward"
    return answer


def _ignores(command: str) -> dict[str, Any]:
    head = bytes.fromhex(command)
    return {"ignores": lambda pins, heard: heard.startswith(head)}


def _skips(test: Callable[[BentPins], bool]) -> dict[str, Any]:
    return {"skips": test}


def _counted(glass: BentGlass, block: bytes) -> bytes:
    """Return a block that is another each time."""
    return bytes([glass.asked & 0xFF]) + block[1:]


def _stb(index: int, *values: int) -> dict[str, Any]:
    return _answer("c190", _at(index, *values))


_BITS = {"takes_whole_bytes": False}
_PRIME = bytes.fromhex("02000510")
"""Maker, model and sub-model of the Lumix G 20mm F1.7, which does not zoom (EXIFTOOL)."""

# fmt: off
_ROWS = (
    # delays
    Mutant("slow_wake", "The wake pulse comes 45 ms behind BODY_ACK.", ("LNK-002",), timing={"wake_ns": 45 * MS, "wake_width_ns": 2 * MS}),
    Mutant("short_wake_pulse", "The wake pulse is 0.2 ms long.", ("LNK-003",), timing={"wake_width_ns": 200 * US}),
    Mutant("slow_attention", "LENS_ACK rises 2 ms behind BODY_ACK.", ("LNK-006",), timing={"answer_ns": 2 * MS}),
    Mutant("acknowledge_too_short", "An acknowledge is 0.6 us long.", ("LNK-008",), timing={"ack_width_ns": 600}),
    Mutant("acknowledge_short", "An acknowledge is 2 us long.", ("LNK-009",), timing={"ack_width_ns": 2_000}),
    Mutant("acknowledge_late", "LENS_ACK falls 12 us behind a byte.", ("LNK-010",), timing={"ack_ns": 12_000}),
    Mutant("hasty_sum", "LENS_ACK rises 0.5 us behind BODY_ACK's fall.", ("LNK-013",), timing={"sum_ns": 500}),
    Mutant("slow_sum", "The sum is ready 2 ms behind BODY_ACK's fall.", ("LNK-014",), timing={"sum_ns": 2 * MS}),
    Mutant("slow_reply", "Each byte of a block is ready 2 ms behind the last.", ("LNK-015",), timing={"reply_ns": 2 * MS}),
    Mutant("slow_release", "LENS_ACK falls 8 us behind BODY_ACK.", ("LNK-017",), timing={"release_ns": 8_000}),
    Mutant("hasty_reply", "LENS_ACK is low for 0.5 us between two bytes.", ("LNK-018",), timing={"reply_ns": 500}),
    Mutant("short_reply_gap", "LENS_ACK is low for 6 us between two bytes.", ("LNK-019",), timing={"reply_ns": 6_000}),
    Mutant("data_while_high", "DATA changes behind the rise of CLK.", ("LNK-020",), timing={"data_ns": 600}),
    Mutant("data_late", "DATA changes 30 ns before CLK rises.", ("LNK-021",), timing={"data_ns": 410}),
    Mutant("long_poll", "Each byte of a block takes 0.1 ms.", ("SES-013",), timing={"reply_ns": 100 * US}),
    # the handshake
    Mutant("holds_lens_ack", "LENS_ACK stays high for 5 ms when the lens is switched off.", ("LIN-001",), pins={"slow_to_sleep": True}),
    Mutant("no_wake_pulse", "There is no wake pulse.", ("LNK-001",), pins={"no_wake_from": 1}),
    Mutant("early_wake_pulse", "LENS_ACK rises before BODY_ACK.", ("LNK-004",), pins={"early_wake": True}),
    Mutant("misses_attention", "The tenth attention is not answered.", ("LNK-005",), pins=_skips(lambda pins: pins._served == 10)),
    Mutant("misses_acknowledge", "One byte is not acknowledged.", ("LNK-007",), pins={"no_ack_at": 2}),
    Mutant("counts_seven", "One byte is acknowledged behind seven clocks.", ("LNK-011",), pins={"seven_at": 32, **_BITS}),
    Mutant("lifts_at_hand_over", "LENS_ACK rises at the hand-over before BODY_ACK has fallen.", ("LNK-012",), pins={"lifts_at_hand_over": True}),
    Mutant("releases_first", "LENS_ACK falls before BODY_ACK behind a byte of the lens.", ("LNK-016",), pins={"hasty_release": True}),
    Mutant("no_work", "A completion shows no work on LENS_ACK.", ("LNK-023",), pins={"no_work": True}),
    Mutant("fast_clock_only", "A byte that takes longer than 10 us is lost.", ("LNK-025",), pins={"longest_byte_ns": 10 * US, **_BITS}),
    Mutant("regular_clock_only", "A byte that takes longer than 100 us is lost.", ("LNK-026",), pins={"longest_byte_ns": 100 * US, **_BITS}),
    Mutant("impatient", "The lens gives up when the body takes 2 ms to listen.", ("LNK-027",), pins={"patience_ns": 2 * MS}),
    Mutant("late_for_block", "A block that begins within 0.1 ms is not taken.", ("LNK-028",), pins={"block_not_before_ns": 100 * US}),
    Mutant("impatient_for_block", "A block that begins behind 2 ms is not taken.", ("LNK-029",), pins={"block_not_after_ns": 2 * MS}),
    Mutant("shifts_at_hold", "A clock hold of about 1 ms costs a transaction.", ("LNK-030",), pins={"held_ns": (500 * US, 2 * MS)}),
    Mutant("needs_hold", "Without a clock hold a transaction is lost.", ("LNK-031",), pins={"needs_hold": True}),
    Mutant("shifts_at_pause", "A pause of the clock costs a transaction.", ("LNK-032",), pins={"held_ns": (3 * MS, SECOND)}),
    Mutant("counts_stray_clocks", "A clock between transactions costs one.", ("LNK-033",), pins={"held_ns": (0, 10 * US)}),
    # framing
    Mutant("length_in_sum", "The sum of a written block has its length bytes in it.", ("FRM-003",), pins={"length_in_sum": True}),
    Mutant("big_endian_length", "The length word has its high byte first.", ("FRM-005",), glass={"bend_answer": lambda glass, command, answer: _BigEndian(answer.block, answer.status, answer.busy_ns)}),
    Mutant("more_behind_set", "A set is followed by a byte.", ("FRM-006", "FRM-010"), pins={"extra_after": Shape.SET}),
    Mutant("two_status_bytes", "A completion ends with two status bytes.", ("FRM-007",), pins={"extra_after": Shape.COMPLETE}),
    Mutant("status_byte_1", "The status byte is 01.", ("FRM-008",), glass={"bend_answer": lambda glass, command, answer: dataclasses.replace(answer, status=1)}),
    Mutant("falls_silent", "A block stops in its middle, once.", ("FRM-009",), pins={"silent_at": 12}),
    Mutant("speaks_unasked", "LENS_ACK pulses between transactions.", ("FRM-010",), pins={"unasked": True}),
    Mutant("deaf_after_break", "The lens is deaf behind a turn that broke off.", ("FRM-011", "FRM-012", "FRM-013", "FRM-015", "FRM-016", "FRM-022", "FRM-024"), pins={"deaf_after_break": True}),
    Mutant("deaf_after_extra", "The lens is deaf behind a byte too many.", ("FRM-014",), pins={"deaf_after_extra": True, **_BITS}),
    Mutant("deaf_after_odd_shape", "The lens is deaf behind a command of no known shape.", ("FRM-017",), pins={"ignores": _unknown_shape_deaf}),
    Mutant("drops_unknown", "An unknown command ends with its sum.", ("FRM-018", "FRM-020", "FRM-021"), pins={"drops_unknown": True}),
    Mutant("deaf_after_unknown", "The lens is deaf behind an unknown command.", ("FRM-019",), pins={"deaf_after_unknown": True}),
    Mutant("takes_odd_drives", "A drive with a block of another size moves the focus.", ("FRM-023",), glass={"bend_odd": lambda glass, block, now_ns: glass.focus.drive(300, now_ns)}),
    Mutant("forgets_power", "The fall of SLEEP resets nothing.", ("FRM-025", "FRM-026", "FRM-027", "FRM-028", "FRM-029", "FRM-030", "FRM-032", "FRM-033"), pins={"forgets_power": True}),
    Mutant("wakes_once", "The lens wakes once.", ("FRM-031", "FRM-032"), pins={"no_wake_from": 2}),
    # the session
    Mutant("no_body_capability", "BodyCapability is not answered.", ("SES-001", "SES-009"), pins=_ignores("60f0")),
    Mutant("one_form_only", "The status command of the E-P1 is not answered.", ("SES-002",), pins=_ignores("c1800102")),
    Mutant("slow_start", "Initialise takes 1.5 s.", ("SES-004",), profile={"initialise_ns": 1_500 * MS}),
    Mutant("slow_enable", "EnableDrive takes 0.8 s.", ("SES-005",), profile={"enable_drive_ns": 800 * MS}),
    Mutant("no_f0", "B0 F0 is not answered.", ("SES-006",), pins=_ignores("b0f0")),
    Mutant("no_enable", "EnableDrive is not answered.", ("SES-007",), pins=_ignores("b188")),
    Mutant("no_reverse", "SetFocusRing is not answered when it reverses.", ("SES-008",), pins=_ignores("a0b0fe01")),
    Mutant("below_30_hz", "Frames at 30 a second are too many.", ("SES-010",), pins=_skips(lambda pins: pins._shutters[1] - pins._shutters[0] < 40 * MS)),
    Mutant("below_60_hz", "Frames at 60 a second are too many.", ("SES-011",), pins=_skips(lambda pins: pins._shutters[1] - pins._shutters[0] < 20 * MS)),
    Mutant("below_120_hz", "Frames at 120 a second are too many.", ("SES-012",), pins=_skips(lambda pins: pins._shutters[1] - pins._shutters[0] < 10 * MS)),
    Mutant("needs_frames", "A poll without a frame is not answered.", ("SES-014",), pins={"ignores": lambda pins, heard: heard.startswith(b"\xc1\x80") and pins.now_ns - pins._shutters[1] > 20 * MS}),
    Mutant("falls_asleep", "Behind a second of silence an attention is missed.", ("SES-015",), pins=_skips(lambda pins: pins._ended_ns > 0 and pins.now_ns - pins._ended_ns > SECOND)),
    # what it says of itself
    Mutant("long_identity", "The identity has a byte more.", ("IDN-001",), glass=_answer("c1f9", lambda glass, block: block + b"\0")),
    Mutant("odd_maker", "The maker is 777.", ("IDN-002",), glass=_answer("c1f9", _at(0, 0x09, 0x03))),
    Mutant("hex_model", "The model is 1a.", ("IDN-003",), glass=_answer("c1f9", _at(2, 0x1A))),
    Mutant("odd_serial", "The serial number has a control character.", ("IDN-005",), profile={"serial": "AB\x01C"}),
    Mutant("odd_firmware", "The firmware version is 1.a0b.", ("IDN-006",), profile={"firmware": "1.a0b"}),
    Mutant("changing_identity", "The serial number changes.", ("IDN-007",), glass=_answer("c1f9", lambda glass, block: block[:6] + bytes([65 + glass.asked % 26]) + block[7:])),
    Mutant("nobodys_model", "The model is 98.", ("IDN-008",), glass=_answer("c1f9", _at(2, 0x98))),
    Mutant("odd_bytes", "The bytes behind the sub-model are 01 02.", ("IDN-009",), glass=_answer("c1f9", _at(4, 1, 2))),
    Mutant("other_firmware", "The firmware is another than declared.", ("IDN-010",), profile={"firmware": "1.007"}),
    Mutant("narrow_range", "The iris stops two Av steps before the end that is declared.", ("IDN-011",), profile={"smallest_av": BASE.smallest_av - 512}),
    Mutant("prime", "The identity is that of a lens that does not zoom.", ("IDN-012",), glass=_answer("c1f9", _at(0, *_PRIME))),
    Mutant("no_stabiliser", "There is no stabiliser where one is declared.", ("IDN-013",), profile={"stabilisation": None}),
    Mutant("long_lens_data", "ReadLensData has a byte more than declared.", ("IDN-014",), glass=_answer("c3f0", lambda glass, block: block + b"\0")),
    Mutant("long_capability", "LinkCapability has five bytes.", ("CAP-001",), glass=_answer("c0f6", lambda glass, block: block + b"\0")),
    Mutant("other_capability", "LinkCapability is another.", ("CAP-002",), profile={"link_capability": bytes.fromhex("0a10c40a")}),
    Mutant("changing_capability", "LinkCapability changes.", ("CAP-003",), glass=_answer("c0f6", _counted)),
    Mutant("short_lens_data", "ReadLensData has 100 bytes.", ("CAP-004",), glass=_answer("c3f0", lambda glass, block: block[:100])),
    Mutant("changing_lens_data", "ReadLensData changes.", ("CAP-005",), glass=_answer("c3f0", _counted)),
    Mutant("no_c2f3", "C2 F3 is not answered.", ("CAP-006",), pins=_ignores("c2f3")),
    # the status
    Mutant("long_status", "The status has a byte more.", ("STA-001",), glass=_answer("c180", lambda glass, block: block + b"\0")),
    Mutant("wild_aperture", "The aperture is f/128.", ("STA-002",), glass=_status(aperture_f=lambda glass, status, now_ns: 128.0)),
    Mutant("wide_aperture", "The aperture is 100 words too wide.", ("STA-003",), glass=_status(aperture_f=lambda glass, status, now_ns: status.aperture_f / math.exp2(100 / 512))),
    Mutant("uneven_distance", "The distance goes to and fro with the position.", ("STA-004",), glass=_status(focus_distance_m=lambda glass, status, now_ns: 1.0 + (status.focus_position // 32) % 2)),
    Mutant("drifting_distance", "The distance drifts by a tenth each second.", ("STA-005",), glass=_status(focus_distance_m=lambda glass, status, now_ns: min(status.focus_distance_m, 20.0) * (1 + (now_ns // SECOND) * 0.1))),
    Mutant("flutters", "A byte of the status changes at rest, in the first second.", ("STA-006",), glass=_status(unknown_14=lambda glass, status, now_ns: bytes([now_ns // (2 * MS) & (now_ns < SECOND)]) + status.unknown_14[1:])),
    Mutant("wild_zoom", "The zoom step is 40.", ("STA-007",), glass=_status(zoom_step=lambda glass, status, now_ns: 40)),
    Mutant("no_low_byte", "Byte 5 of the status is 77.", ("STA-008",), glass=_status(unknown_5=lambda glass, status, now_ns: b"\x77")),
    Mutant("no_distance", "The distance is 0.", ("STA-009",), glass=_status(focus_distance_m=lambda glass, status, now_ns: 0.0)),
    Mutant("forms_differ", "The two forms of the status differ.", ("STA-011",), glass={"bend_answer": lambda glass, command, answer: dataclasses.replace(answer, block=answer.block[:-1] + command[3:4]) if command.startswith(b"\xc1\x80") else answer}),
    Mutant("creeping_zoom", "The zoom step creeps.", ("STA-012",), glass=_status(zoom_step=lambda glass, status, now_ns: now_ns // SECOND % 32)),
    # drives
    Mutant("aperture_off", "The aperture is 40 words off.", ("DRV-002",), profile={"av_step": 1}, glass=_drive(_off(40))),
    Mutant("aperture_one_sided", "The aperture depends on the side it comes from.", ("DRV-003",), glass=_drive(_one_sided)),
    Mutant("aperture_wraps", "An aperture that is too small opens the iris.", ("DRV-004",), glass=_drive(_wraps)),
    Mutant("slow_iris", "The iris takes seconds.", ("DRV-005",), profile={"iris_speed": 250.0}),
    Mutant("reversed_aperture", "A smaller aperture opens the iris.", ("DRV-006",), glass=_drive(_reversed_aperture)),
    Mutant("focus_off", "The focus is 8 counts off.", ("DRV-008",), glass=_drive(lambda glass, drive, now_ns: dataclasses.replace(drive, focus_target=drive.focus_target + 8) if drive.focus_operation == "move" and abs(drive.focus_target) < 30_000 else drive)),
    Mutant("backlash", "The focus goes 4 counts too far, both ways.", ("DRV-009",), glass=_drive(_beside(4))),
    Mutant("drifting_stops", "The end stops drift.", ("DRV-010", "DRV-011"), glass=_drive(_drifts)),
    Mutant("slow_focus", "The focus makes 60 counts a second.", ("DRV-012",), profile={"focus_speed": 60.0}),
    Mutant("jiggles", "A drive to where the focus stands moves it.", ("DRV-013",), glass=_drive(_jiggles)),
    Mutant("stubborn", "A new target is ignored while the focus moves.", ("DRV-014",), glass=_drive(_stubborn)),
    Mutant("aperture_moves_focus", "An aperture drive moves the focus, too.", ("DRV-015",), glass=_drive(_also_focus)),
    Mutant("focus_moves_aperture", "A focus drive moves the iris, too.", ("DRV-016",), glass=_drive(_also_aperture)),
    Mutant("set_up_moves", "The set-up drive moves the focus.", ("DRV-017",), glass=_drive(_set_up_moves)),
    Mutant("one_at_a_time", "A drive of both moves the focus only.", ("DRV-018",), glass=_drive(_only_focus)),
    Mutant("shows_a_dip", "The position turns round on its way.", ("DRV-019",), glass=_status(focus_position=lambda glass, status, now_ns: status.focus_position + (30 if glass.focus.moving(now_ns) and now_ns // (20 * MS) % 2 else 0))),
    # rings and stabiliser
    Mutant("dead_ring", "The focus ring does nothing.", ("RNG-001",), glass={"hand": False}),
    Mutant("one_way_ring", "The direction of the ring cannot be set.", ("RNG-002",), glass={"bend_answer": _always_forward}),
    Mutant("dead_zoom", "The zoom step stays.", ("RNG-003",), glass=_status(zoom_step=lambda glass, status, now_ns: 3)),
    Mutant("zoom_alone", "The iris is not driven again when the lens is zoomed.", ("RNG-004",), glass={"hand": False}),
    Mutant("deaf_while_zoomed", "Behind a turn of the zoom ring the lens is deaf.", ("RNG-005",), pins=_skips(lambda pins: pins.glass.frozen)),
    Mutant("odd_stabiliser", "The stabiliser has a mode that nobody knows.", ("STB-001",), glass=_stb(0, 99)),
    Mutant("stuck_stabiliser", "The stabiliser stays in one mode.", ("STB-002",), glass=_stb(0, 2)),
    Mutant("restless_stabiliser", "The stabiliser never parks.", ("STB-003",), glass=_stb(1, 2)),
)
# fmt: on

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in _ROWS}
"""Every mutant by its name."""
