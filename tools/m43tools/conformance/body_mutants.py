"""Bodies with one small defect each: what the cases that judge a body must be able to tell from a good one.

Each row of `BODY_MUTANTS` names the cases that are written for its defect; the kill matrix demands that they turn red.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from m43drivers.simulator.body import SimulatedBody
from m43drivers.simulator.script import load_script
from m43proto.ends import Script, _NoAnswerError
from m43proto.messages import Drive, EnableDrive, Identify, LinkCapability, Status
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line
from m43proto.shapes import Shape
from m43proto.timing import BodyTiming
from m43proto.turns import Phase
from m43tools.conformance.body_bench import SCRIPT, SimBodyBench
from m43tools.conformance.operations import MS, SECOND, US

if TYPE_CHECKING:
    from m43drivers.simulator.script import BodyScript
    from m43proto.catalogue import Catalogue
    from m43proto.drafts import Draft

__all__ = ["BODY_MUTANTS", "BodyMutant", "body_bench_with"]

_CLK, _DATA, _BODY_ACK = Line.CLK.mask, Line.DATA.mask, Line.BODY_ACK.mask
_LENS_ACK, _SLEEP = Line.LENS_ACK.mask, Line.SLEEP.mask

_HANG_NS = 10 * SECOND
_ONCE = 12
"""The transaction at which a body errs that would not get far if it erred at each."""

_FOUR = 4
"""Data bytes of the one LinkCapability that is on record."""

_ODD_COMMAND = bytes.fromhex("a0770000")
_ODD_SHAPE = bytes.fromhex("10000000")


class _EveryEdge(BodyTiming):
    """Delays of a body of which a mount must see every edge."""

    steady: ClassVar[bool] = False


_WATCHFUL = _EveryEdge(watches_acks=True)


class BentBody(SimulatedBody):
    """A body that goes wrong as its attributes say."""

    memory: dict[str, bool]
    early_attention = False
    cuts_wake = False
    wakes_low = False
    no_wake_after_loss = False
    ignores = ""
    patience_ns = 0
    glance_ns = 0
    most_significant_first = False
    wiggles = False
    extra_clock = ""
    keeps_data = False
    no_completion = False
    no_hold = False
    stray_clocks = False
    fifth_byte = False
    leaves_sum = False
    odd_shape = False
    odd_command = False
    long_word = False
    four_at_most = False
    long_drive = False
    start_up_order = (0, 1, 2, 3, 4, 5, 6, 7)
    early_drive = False
    changes_form = False
    odd_form = False
    no_shutter = False
    no_focus = False
    late_drive = False
    no_set_up = False
    odd_operation = False
    wild_aperture = False
    cuts_power = False
    holds_attention = False
    hangs_at_wrong_sum = False
    hangs_when_broken_off = False
    hangs_at_status = False
    shy = False
    sulks = False
    _waking = False
    _between = False
    _avoiding = False
    _served = 0
    _wanted: bytes | None = None
    _polls_since = 0

    # switching on and off

    def power_up(self) -> Script[bool]:
        self.outputs |= _BODY_ACK if self.early_attention else 0
        self.outputs &= ~_CLK if self.wakes_low else -1
        self._waking = True
        if self.no_wake_after_loss and self.memory.pop("lost", False):
            self._set(_SLEEP, 1)
            yield SECOND
            return False
        awake = yield from super().power_up()
        self._waking = False
        self._set(_CLK, 1)
        return awake

    def power_down(self) -> Script[None]:
        if self.cuts_power:
            yield SECOND // 10
            self._set(_BODY_ACK, 1)
            yield 30 * US
        if self.holds_attention:
            yield SECOND // 10
            self._set(_SLEEP, 0)
            self._set(_BODY_ACK, 1)
            yield 5 * MS
        yield from super().power_down()

    # what it waits for

    def _reaches(self, mask: int, wanted: int, limit_ns: int) -> Script[bool]:
        if self.cuts_wake and self._waking and not wanted:
            yield 100 * US
            return True
        if self.glance_ns and not self._waking:
            return (yield from self._glances(mask, wanted, limit_ns))
        return (yield from super()._reaches(mask, wanted, limit_ns))

    def _glances(self, mask: int, wanted: int, limit_ns: int) -> Script[bool]:
        """Look at a line now and then, as a loop does that has other things to do."""
        until_ns = self.now_ns + limit_ns
        while self.now_ns < until_ns:
            if (yield self.glance_ns) & mask == wanted:
                return True
        return False

    def _demand(self, mask: int, wanted: int) -> Script[None]:
        wait = self._wait_at_hand(wanted)
        if wait == "hand-over" and self.extra_clock == "body" and self._served == _ONCE:
            yield from self._pulse()
        if self.ignores == wait:
            yield 10 * US
        elif self.patience_ns and wait != "attention":
            if not (yield from self._reaches(mask, wanted, self.patience_ns)):
                raise _NoAnswerError
        else:
            yield from super()._demand(mask, wanted)

    def _wait_at_hand(self, wanted: int) -> str:
        """Return the name of the step of the handshake that the body is about to wait for."""
        if self.drives & _DATA:
            return "acknowledge" if self._between else "hand-over"
        if self.outputs & _BODY_ACK:
            return "attention"
        return "ready" if wanted else "over"

    def _between_bytes(self) -> Script[None]:
        self._between = True
        yield from super()._between_bytes()
        self._between = False

    # bytes

    def _pulse(self) -> Script[None]:
        self._set(_CLK, 0)
        yield US
        self._set(_CLK, 1)
        yield US

    def _clock_out(self, value: int) -> Script[None]:
        if self.most_significant_first:
            value = int(f"{value:08b}"[::-1], 2)
        yield from self._wiggled(value) if self.wiggles else super()._clock_out(value)

    def _wiggled(self, value: int) -> Script[None]:
        """Clock a byte out, and turn DATA round as soon as CLK is high."""
        first_ns = self.now_ns
        for place in range(BITS_PER_BYTE):
            self._set(_CLK, 0)
            yield 200
            self._set(_DATA, value >> place & 1)
            yield 240
            self._set(_CLK, 1)
            yield 200
            self._set(_DATA, not value >> place & 1)
            yield 200
        self._note(first_ns, self.now_ns, self.role, value)

    def _clock_in(self) -> Script[int]:
        value = yield from super()._clock_in()
        if self.extra_clock == "lens" and self._served == _ONCE:
            yield US
            yield from self._pulse()
        return value

    def _listen(self) -> Script[int]:
        summing = self._draft is not None and self._draft.phase is Phase.COMMAND_SUM
        if self.keeps_data and summing and self._served == _ONCE:
            self.drives |= _DATA
            self._set(_DATA, 1)
            value = yield from super()._listen()
            self.drives &= ~_DATA
            return value
        return (yield from super()._listen())

    def _speak(self, values: bytes) -> Script[None]:
        is_command = self._draft is not None and self._draft.phase is Phase.COMMAND_SUM
        if is_command and self.fifth_byte and self._served == _ONCE:
            values += b"\0"
        if not is_command and self.long_word:
            values = bytes([values[0] + 1]) + values[1:]
        yield from super()._speak(values)

    def _take_turn(self, draft: Draft, block: bytes) -> Script[None]:
        if self.leaves_sum and draft.phase is Phase.WRITE_SUM:
            raise _NoAnswerError
        is_capability = draft.command.startswith(LinkCapability.spec.opcode)
        if self.four_at_most and is_capability and len(draft.data) > _FOUR:
            raise _NoAnswerError
        yield from super()._take_turn(draft, block)

    # transactions

    def _try(self, command: bytes, block: bytes = b"") -> Script[bool]:
        self._served += 1
        done = yield from super()._try(*self._bent(command, block))
        seen = self.outcomes[-1].seen
        if self._hangs():
            yield _HANG_NS
        if seen is None:
            self.memory["lost"] = True
        elif self.shy and command.startswith(Identify.spec.opcode):
            self._avoiding = seen.data[2:3] == b"\x99"
        elif self.sulks:
            yield from self._sulk(command, block, seen.data)
        return done

    def _hangs(self) -> bool:
        seen = self.outcomes[-1].seen
        if seen is None or not seen.complete:
            return self.hangs_when_broken_off
        return (self.hangs_at_wrong_sum and not seen.sums_ok) or (self.hangs_at_status and bool(seen.status))

    def _sulk(self, command: bytes, block: bytes, data: bytes) -> Script[None]:
        """Do nothing for a while, when five polls behind a drive the aperture is not there."""
        if command.startswith(Drive.spec.opcode) and command[3] == 2:
            self._wanted, self._polls_since = block[1:3], 0
        elif command.startswith(Status.spec.opcode) and self._wanted is not None:
            self._polls_since += 1
            away = abs(int.from_bytes(data[8:10], "little") - int.from_bytes(self._wanted, "little"))
            if self._polls_since == 5 and away > 100:
                yield _HANG_NS

    def _bent(self, command: bytes, block: bytes) -> tuple[bytes, bytes]:
        if command.startswith(Status.spec.opcode):
            return self._bent_poll(command), block
        if not command.startswith(Drive.spec.opcode):
            return command, block
        if self.long_drive:
            block += b"\0"
        if self.wild_aperture and command[3] == 2:
            block = block[:1] + (3584).to_bytes(2, "little") + block[3:]
        if self.odd_operation:
            command = command[:2] + b"\x42" + command[3:]
        return command, block

    def _bent_poll(self, command: bytes) -> bytes:
        if self.odd_form:
            return command[:3] + b"\x0a"
        return command[:3] + (b"\x02" if self._served % 2 else b"\x06") if self.changes_form else command

    def start_up(self) -> Script[None]:
        steps = self.dialect.steps
        self.dialect = dataclasses.replace(self.dialect, steps=tuple(steps[place] for place in self.start_up_order))
        if self.no_completion:
            known = self._shape_of
            self._shape_of = lambda command: Shape.SET if command[:2] == EnableDrive.spec.opcode else known(command)
        if self.early_drive:
            yield from self.send(Drive().command, Drive().block)
        yield from super().start_up()
        if self.no_set_up:
            self._polls_to_setup = 0
        if self.odd_command:
            yield from self.send(_ODD_COMMAND)
        if self.odd_shape:
            known = self._shape_of
            self._shape_of = lambda command: Shape.SET if command == _ODD_SHAPE else known(command)
            yield from self.send(_ODD_SHAPE)

    def clock_hold(self, width_ns: int) -> Script[None]:
        yield from self.pause(width_ns) if self.no_hold else super().clock_hold(width_ns)

    # frames

    def _frame(self) -> Script[None]:
        if self._avoiding:
            yield from self._frame_begins()
            self._due_drives.clear()
            return
        if self.stray_clocks:
            yield from self._pulse()
        yield from super()._frame()

    def frame_sync(self, width_ns: int) -> Script[None]:
        yield from self.pause(width_ns) if self.no_shutter else super().frame_sync(width_ns)

    def toggle_focus(self) -> Script[None]:
        yield from self.pause(0) if self.no_focus else super().toggle_focus()

    def _send_due_drive(self) -> Script[None]:
        if self.late_drive:
            yield 7 * MS
        yield from super()._send_due_drive()


@dataclass(frozen=True, slots=True)
class BodyMutant:
    """A body with one defect.

    Attributes:
        name: its name; ``m43 conform --role body --body 'sim:E-P1?fault=NAME'`` takes it, too.
        doc: what is wrong with it.
        meant: ids of the cases that are written for it.
        bent: attributes of its `BentBody`.
        timing: what is changed in its delays.
        frame_hz: its frames per second; None for those of the script.
    """

    name: str
    doc: str
    meant: tuple[str, ...]
    bent: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    frame_hz: float | None = None


def body_bench_with(
    mutant: BodyMutant,
    catalogue: Catalogue,
    *,
    dialect: str | None = None,
    script: BodyScript | None = None,
    name: str = "",
) -> SimBodyBench:
    """Return a bench with a mutant."""
    script = script or load_script(SCRIPT)
    if mutant.frame_hz is not None:
        script = dataclasses.replace(script, frame_hz=mutant.frame_hz)
    kind = type("BentBody", (BentBody,), {**mutant.bent, "memory": {}})
    timing = dataclasses.replace(_WATCHFUL, **mutant.timing)
    return SimBodyBench(dialect, script, timing, catalogue=catalogue, body=kind, name=name or mutant.name)


def _row(name: str, doc: str, *meant: str, **more: Any) -> BodyMutant:
    frame_hz = more.pop("frame_hz", None)
    timing = {key: more.pop(key) for key in list(more) if key in BodyTiming.__dataclass_fields__}
    return BodyMutant(name, doc, tuple(f"BOD-{number}" for number in meant), more, timing, frame_hz)


# fmt: off
_ROWS = (
    _row("early_attention", "BODY_ACK rises before SLEEP.", "001", early_attention=True),
    _row("hasty_attention", "BODY_ACK rises 0.1 ms behind SLEEP.", "002", attention_ns=100 * US),
    _row("cuts_wake", "BODY_ACK falls in the wake pulse.", "003", cuts_wake=True),
    _row("hasty_command", "The first command comes 0.1 ms behind the wake pulse.", "004", first_command_ns=100 * US),
    _row("clocks_blindly", "The body does not wait for the answer to its attention.", "005", "013", "056", ignores="attention"),
    _row("wakes_low", "CLK is low while the lens wakes.", "006", wakes_low=True),
    _row("nine_clocks", "A command has a clock too many.", "007", extra_clock="body"),
    _row("late_set_up", "DATA changes 10 ns before CLK rises.", "008", setup_ns=430),
    _row("late_change", "DATA changes while CLK is high.", "009", wiggles=True),
    _row("most_significant_first", "The most significant bit comes first.", "010", most_significant_first=True),
    _row("fast_clock", "The clock of the body has a period of 0.4 us.", "011", setup_ns=100, write_low_ns=200, write_high_ns=200),
    _row("short_low", "CLK is low for 0.3 us in a byte of the lens.", "012", read_low_ns=300),
    _row("watches_no_acks", "The body pauses blindly behind each byte.", "014", watches_acks=False),
    _row("hasty_hand_over", "BODY_ACK falls without waiting for LENS_ACK.", "015", ignores="hand-over"),
    _row("keeps_data", "The body holds DATA high in a sum of the lens.", "016", keeps_data=True),
    _row("nine_to_read", "The body gives a clock too many in the bytes of one transaction.", "017", extra_clock="lens"),
    _row("reads_blindly", "The body does not wait for a byte of the lens to be ready.", "018", ignores="ready"),
    _row("asks_again", "The body does not wait for LENS_ACK to fall behind a byte of the lens.", "019", ignores="over"),
    _row("slow_done", "BODY_ACK falls 1.5 ms behind a byte of the lens.", "020", done_ns=1_500 * US),
    _row("no_completion", "EnableDrive is not completed.", "021", no_completion=True),
    _row("no_patience", "The body gives up work after 0.1 s.", "022", busy_limit_ns=100 * MS),
    _row("late_block", "A block comes 20 ms behind the sum.", "023", block_ns=20 * MS),
    _row("no_hold", "There is no clock hold.", "024", no_hold=True),
    _row("stray_clocks", "CLK moves between transactions.", "025", stray_clocks=True),
    _row("fifth_byte", "A command has five bytes.", "026", fifth_byte=True, watches_acks=False),
    _row("leaves_sum", "The sum of a written block is not taken.", "027", leaves_sum=True),
    _row("odd_shape", "A command begins with the nibble 1.", "028", odd_shape=True),
    _row("odd_command", "A command is on no record.", "029", odd_command=True),
    _row("long_word", "The length word of a block is one too many.", "030", long_word=True),
    _row("four_at_most", "The body takes four data bytes of LinkCapability at most.", "031", four_at_most=True),
    _row("long_drive", "A drive has ten data bytes.", "032", long_drive=True),
    _row("swapped", "Identify comes before LinkCapability.", "033", start_up_order=(0, 3, 1, 2, 4, 5, 6, 7)),
    _row("no_ring", "SetFocusRing is left out.", "034", start_up_order=(0, 1, 2, 3, 4, 5, 7)),
    _row("early_drive", "A drive comes before the start-up.", "035", early_drive=True),
    _row("changes_form", "The form of the status command changes.", "036", changes_form=True),
    _row("odd_form", "The form of the status command is 0a.", "037", odd_form=True),
    _row("slow_polls", "The body polls ten times a second.", "038", frame_hz=10),
    _row("no_shutter", "SHUTTER rests.", "039", no_shutter=True),
    _row("no_focus", "FOCUS rests.", "040", no_focus=True),
    _row("late_drive", "A drive comes 7 ms behind the status.", "041", late_drive=True),
    _row("no_set_up", "There is no set-up drive.", "042", no_set_up=True),
    _row("odd_operation", "The operation of a drive is 42.", "043", odd_operation=True),
    _row("wild_aperture", "The aperture that is set is f/128.", "044", wild_aperture=True),
    _row("cuts_power", "SLEEP falls in an attention.", "045", cuts_power=True),
    _row("holds_attention", "BODY_ACK is high for 5 ms behind SLEEP.", "046", holds_attention=True),
    _row("hangs_at_wrong_sum", "Behind a wrong sum the body does nothing for 10 s.", "047", "048", hangs_at_wrong_sum=True),
    _row("hangs_when_broken_off", "Behind a transaction that broke off the body does nothing for 10 s.", "049", "050", "051", "052", hangs_when_broken_off=True),
    _row("waits_long", "The body waits 20 s for an answer.", "053", "054", answer_limit_ns=20 * SECOND),
    _row("waits_long_for_work", "The body waits 15 s for work.", "055", busy_limit_ns=15 * SECOND),
    _row("no_wake_after_loss", "Switched on behind the loss of a lens, the body does not wake the next one.", "057", no_wake_after_loss=True),
    _row("hangs_at_status", "Behind a status byte other than 00 the body does nothing for 10 s.", "058", hangs_at_status=True),
    _row("shy", "The body does not poll a lens that it does not know.", "059", shy=True),
    _row("sulks", "The body polls no more when the aperture does not come.", "060", sulks=True),
    _row("impatient", "The body waits 40 us for an answer.", "061", "064", patience_ns=40 * US),
    _row("glances", "The body looks at LENS_ACK every 7 us.", "062", "063", glance_ns=7 * US),
)
# fmt: on

BODY_MUTANTS: dict[str, BodyMutant] = {mutant.name: mutant for mutant in _ROWS}
"""Every mutant of the body by its name."""
