"""Both ends of the mount at the pins: a body and a lens that walk the same grammar (specs/2-link.md, 3-framing.md).

An end takes the levels of all lines with the time, and says which lines it drives, how, and when it will act by itself.
It knows no clock: whoever joins two ends, or one end and somebody else's firmware, owns the time::

    next_ns = lens.advance(now_ns, levels)      # then read lens.drives and lens.outputs

What an end does is a script: a generator that yields what it waits for. A body runs scripts that its caller writes with
`PinBody.power_up`, `PinBody.transact` and `PinBody.pause`; a lens serves transactions for ever, and asks a `Glass` what
to answer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar

from m43proto.checksum import wire_sum
from m43proto.drafts import Draft
from m43proto.events import ByteSeen, TransactionSeen
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import LINES, Line, Role
from m43proto.records import record
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, SHAPES, Shape
from m43proto.turns import AFTER_COMMAND, TURNS, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from m43proto.timing import BodyTiming, LensTiming

__all__ = ["ANY_BYTE", "NEVER", "Answer", "Glass", "PinBody", "PinEnd", "PinLens", "Script"]

_CLK, _DATA, _BODY_ACK, _LENS_ACK, _SLEEP, _FOCUS, _SHUTTER = (line.mask for line in LINES)


class _Wait(NamedTuple):
    """What a script waits for: levels, edges, or a time.

    Attributes:
        mask: lines whose levels matter; 0 where only edges or the time do.
        levels: the levels of those lines that end the wait.
        rises: lines whose rise ends the wait.
        falls: lines whose fall ends the wait.
        watches_rises: lines whose rise can end the wait.
        watches_falls: lines whose fall can end the wait.
        limit_ns: how long to wait at most; None for ever.
    """

    mask: int = 0
    levels: int = 0
    rises: int = 0
    falls: int = 0
    watches_rises: int = 0
    watches_falls: int = 0
    limit_ns: int | None = None


@cache
def _reach(mask: int, levels: int, limit_ns: int | None = None) -> _Wait:
    return _Wait(mask, levels, watches_rises=mask & levels, watches_falls=mask & ~levels, limit_ns=limit_ns)


def _edges(rises: int, falls: int) -> _Wait:
    return _Wait(rises=rises, falls=falls, watches_rises=rises, watches_falls=falls)


_PAUSE = _Wait()
_CLOCK_RISES = _edges(_CLK, _BODY_ACK)
_CLOCK_FALLS = _edges(0, _CLK | _BODY_ACK)

NEVER = 1 << 63
"""The time at which nothing happens."""

ANY_BYTE = -1
"""Stands for a byte that nobody knows yet."""

T = TypeVar("T")

Script: TypeAlias = "Generator[int | _Wait, int, T]"
"""A generator of waits, or of pauses in nanoseconds; it receives the levels of all lines at the moment it goes on."""


class PinEnd:
    """One end of the mount: runs a script over the lines.

    Attributes:
        drives: mask of the lines that it drives.
        outputs: their levels.
        watches_rises: mask of the lines whose rise can make it act.
        watches_falls: mask of the lines whose fall can.
        now_ns: the time of the last `advance`.
        in_whole_bytes: whether the end stops before each byte, for a mount that carries whole bytes.
        due_byte: the byte that it is about to give, `ANY_BYTE` when it is about to take one, None otherwise.
    """

    def __init__(self, drives: int, outputs: int) -> None:
        self.drives = drives
        self.outputs = outputs
        self.watches_rises = 0
        self.watches_falls = 0
        self.now_ns = 0
        self.in_whole_bytes = False
        self.due_byte: int | None = None
        self._carried: int | None = None
        self._levels = outputs
        self._theirs = 0
        self._script: Script[None] | None = None
        self._begun = False
        self._wait = _PAUSE
        self._due_ns = NEVER
        self._needs = 0

    def advance(self, now_ns: int, levels: int, changed: int | None = None) -> int:
        """Go on as far as the levels allow.

        Args:
            now_ns: the time; never earlier than before, and never later than the time returned last.
            levels: the levels of all lines, one bit per line in the order of `LINES`.
            changed: mask of the lines that have just changed, for a caller that leaves out what the end does not
                watch; None for one that tells every change.

        Returns:
            when the end will act by itself if no line changes, or `NEVER`.
        """
        edges = levels ^ self._levels if changed is None else changed
        self.now_ns = now_ns
        self._levels = levels
        if self._needs & ~levels:
            self._lose_power()
        while True:
            wait = self._wait
            hit = edges & (levels & wait.rises | ~levels & wait.falls)
            if not hit and now_ns < self._due_ns and not (wait.mask and levels & wait.mask == wait.levels):
                return self._due_ns
            if hit:
                edges = 0
            assert self._script is not None
            self.due_byte = None
            try:
                asked = self._script.send(levels) if self._begun else next(self._script)
            except StopIteration:
                self._stop()
                return NEVER
            self._begun = True
            self._go_on(asked)

    def step(self, now_ns: int, lines: Mapping[Line, int | None]) -> tuple[dict[Line, int | None], int | None]:
        """Go on in lockstep with somebody else's simulator.

        Args:
            now_ns: the time; never earlier than before, and never later than the time returned last.
            lines: levels of the lines that the other side drives from now on, 0 or 1; None releases one. Lines that
                are left out stay as they were; one that nobody drives is low.

        Returns:
            the lines that this end can drive with their levels, None for released, and when it will act by itself if
            nothing changes, or None for never.
        """
        for line, level in lines.items():
            self._theirs = self._theirs | line.mask if level else self._theirs & ~line.mask
        next_ns = self.advance(now_ns, self._theirs | (self.outputs & self.drives))
        return self.driven, None if next_ns == NEVER else next_ns

    @property
    def driven(self) -> dict[Line, int | None]:
        """The lines that this end can drive, with their levels; None for released."""
        driven: dict[Line, int | None] = {}
        for line in LINES:
            if self.drives & line.mask:
                driven[line] = int(bool(self.outputs & line.mask))
            elif line is Line.DATA:
                driven[line] = None
        return driven

    def carry(self, value: int | None) -> None:
        """Go on at the next `advance`: behind the byte that was due, when it has been carried; else with its bits."""
        self._carried = value
        self._due_ns = 0

    def _lose_power(self) -> None:
        """Do what an end does that loses a level which it needs."""

    def _start(self, script: Script[None]) -> None:
        """Take up a script; its first step is done at the next `advance`."""
        self._script = script
        self._begun = False
        self._go_on(0)

    def _stop(self) -> None:
        self._script = None
        self._wait = _PAUSE
        self._due_ns = NEVER
        self.watches_rises = self.watches_falls = 0

    def _go_on(self, asked: int | _Wait) -> None:
        """Note what the script waits for."""
        if isinstance(asked, int):
            self._wait = _PAUSE
            self._due_ns = self.now_ns + asked
            self.watches_rises = 0
            self.watches_falls = self._needs
            return
        self._wait = asked
        self._due_ns = NEVER if asked.limit_ns is None else self.now_ns + asked.limit_ns
        self.watches_rises = asked.watches_rises
        self.watches_falls = asked.watches_falls | self._needs

    def _whole_byte(self, value: int, wait: int | _Wait) -> Script[int | None]:
        """_Wait for a byte as a whole; return it, or None when it must go over the lines bit by bit."""
        self.due_byte, self._carried = value, None
        yield wait
        return self._carried

    def _set(self, line: int, high: int) -> None:
        self.outputs = self.outputs | line if high else self.outputs & ~line


# The body


class _NoAnswerError(Exception):
    """The lens did not do in time what it should; never leaves this room."""


class PinBody(PinEnd):
    """A body: runs the script of its caller.

    Args:
        timing: its delays.
        script: a function from the body to its script.
        shape_of: the shape of a command, or None when nobody knows it: a catalogue's own method.
    """

    role = Role.BODY

    def __init__(
        self,
        timing: BodyTiming,
        script: Callable[[PinBody], Script[None]],
        shape_of: Callable[[bytes], Shape | None],
    ) -> None:
        super().__init__(_CLK | _BODY_ACK | _SLEEP | _FOCUS | _SHUTTER, _CLK)
        self.timing = timing
        self._shape_of = shape_of
        self._draft: Draft | None = None
        self._start(script(self))

    @property
    def done(self) -> bool:
        """Whether its script has ended."""
        return self._script is None

    def begin(self, script: Callable[[PinBody], Script[None]]) -> None:
        """Take up another script; tell the mount with `Mount.rouse`."""
        self._start(script(self))

    # what scripts are made of

    def pause(self, pause_ns: int) -> Script[None]:
        """Let time pass."""
        yield pause_ns

    def power_up(self) -> Script[bool]:
        """Wake the lens; return whether it gave its wake pulse."""
        timing = self.timing
        self._set(_SLEEP, 1)
        yield timing.attention_ns
        self._set(_BODY_ACK, 1)
        awake = yield from self._reaches(_LENS_ACK, _LENS_ACK, timing.answer_limit_ns)
        awake = awake and (yield from self._reaches(_LENS_ACK, 0, timing.answer_limit_ns))
        yield timing.wake_seen_ns
        self._set(_BODY_ACK, 0)
        yield timing.first_command_ns
        return awake

    def power_down(self) -> Script[None]:
        """Switch the lens off."""
        self._set(_SLEEP, 0)
        self._set(_BODY_ACK, 0)
        yield 0

    def frame_sync(self, width_ns: int) -> Script[None]:
        """Give the pulse on SHUTTER."""
        self._set(_SHUTTER, 1)
        yield width_ns
        self._set(_SHUTTER, 0)

    def toggle_focus(self) -> Script[None]:
        """Change the level of FOCUS."""
        self._set(_FOCUS, not self.outputs & _FOCUS)
        yield 0

    def clock_hold(self, width_ns: int) -> Script[None]:
        """Hold CLK low for a while."""
        self._set(_CLK, 0)
        yield width_ns
        self._set(_CLK, 1)

    def transact(self, command: bytes, block: bytes = b"") -> Script[TransactionSeen | None]:
        """Carry out one transaction.

        Returns:
            the transaction, incomplete when the lens stopped answering; None when it never answered.

        Args:
            command: the four command bytes.
            block: the data to write, for a command of shape write.

        Raises:
            ValueError: the command has not four bytes, or nobody knows its shape.
        """
        shape = self._shape_of(command) if len(command) == COMMAND_SIZE else None
        if shape is None:
            raise ValueError(f"{command.hex(' ')} is no command of a known shape")
        self._draft = draft = Draft(command, shape)
        length = (len(block) + 1).to_bytes(LENGTH_SIZE, "little")
        try:
            yield from self._speak(command)
            while draft.phase is not Phase.IDLE:
                yield from self._take_turn(draft, length + block)
        except _NoAnswerError:
            yield from self._give_up()
            return draft.seen(complete=False) if draft.wire else None
        return draft.seen(complete=True)

    # the handshake

    def _take_turn(self, draft: Draft, block: bytes) -> Script[None]:
        if draft.phase is Phase.STATUS:
            yield from self._complete(draft)
        if TURNS[draft.phase].sender is Role.LENS:
            draft.put(bytes([(yield from self._listen())]))
            if draft.held == draft.wanted:
                draft.advance()
            if draft.phase is not Phase.IDLE and draft.wanted < 0:
                raise _NoAnswerError
            return
        yield self.timing.block_ns
        draft.put(block[:LENGTH_SIZE])
        draft.phase = Phase.WRITE_DATA
        draft.put(block[LENGTH_SIZE:])
        yield from self._speak(block)
        draft.advance()

    def _speak(self, values: bytes) -> Script[None]:
        timing = self.timing
        yield from self._demand(_LENS_ACK, 0)
        self._set(_BODY_ACK, 1)
        yield from self._demand(_LENS_ACK, _LENS_ACK)
        yield timing.ready_ns
        self.drives |= _DATA
        for value in values[:-1]:
            yield from self._clock_out(value)
            yield from self._between_bytes()
        yield from self._clock_out(values[-1])
        yield max(timing.hand_over_ns - timing.write_high_ns, 1)
        yield from self._demand(_LENS_ACK, 0)
        self.drives &= ~_DATA
        self._set(_BODY_ACK, 0)

    def _between_bytes(self) -> Script[None]:
        timing = self.timing
        if timing.watches_acks:
            yield from self._demand(_LENS_ACK, 0)
            yield from self._demand(_LENS_ACK, _LENS_ACK)
            yield timing.ready_ns
        else:
            yield max(timing.byte_ns - timing.write_high_ns, 1)

    def _clock_out(self, value: int) -> Script[None]:
        timing, first_ns = self.timing, self.now_ns
        if not self.in_whole_bytes or (yield from self._whole_byte(value, _PAUSE)) is None:
            for place in range(BITS_PER_BYTE):
                self._set(_CLK, 0)
                yield timing.setup_ns
                self._set(_DATA, value >> place & 1)
                yield timing.write_low_ns - timing.setup_ns
                self._set(_CLK, 1)
                if place < BITS_PER_BYTE - 1:
                    yield timing.write_high_ns
        else:
            self._set(_DATA, value >> BITS_PER_BYTE - 1)
        self._note(first_ns, self.now_ns, Role.BODY, value)
        yield timing.write_high_ns

    def _listen(self) -> Script[int]:
        timing = self.timing
        yield from self._demand(_LENS_ACK, _LENS_ACK)
        yield timing.take_over_ns
        self._set(_BODY_ACK, 1)
        yield timing.read_ns
        value = yield from self._clock_in()
        yield timing.done_ns
        self._set(_BODY_ACK, 0)
        yield from self._demand(_LENS_ACK, 0)
        return value

    def _clock_in(self) -> Script[int]:
        timing, first_ns = self.timing, self.now_ns
        value = (yield from self._whole_byte(ANY_BYTE, _PAUSE)) if self.in_whole_bytes else None
        if value is None:
            value = 0
            for place in range(BITS_PER_BYTE):
                self._set(_CLK, 0)
                levels = yield timing.read_low_ns
                self._set(_CLK, 1)
                value |= bool(levels & _DATA) << place
                if place < BITS_PER_BYTE - 1:
                    yield timing.read_high_ns
        self._note(first_ns, self.now_ns, Role.LENS, value)
        return value

    def _complete(self, draft: Draft) -> Script[None]:
        timing = self.timing
        yield timing.complete_ns
        self._set(_BODY_ACK, 1)
        yield from self._demand(_LENS_ACK, _LENS_ACK)
        began_ns = self.now_ns
        if not (yield from self._reaches(_LENS_ACK, 0, timing.busy_limit_ns)):
            raise _NoAnswerError
        draft.busy_ns = self.now_ns - began_ns
        yield timing.complete_ns
        self._set(_BODY_ACK, 0)

    def _note(self, t_ns: int, end_ns: int, sender: Role, value: int) -> None:
        assert self._draft is not None
        self._draft.wire.append(ByteSeen(t_ns, end_ns, sender, value))

    def _reaches(self, mask: int, wanted: int, limit_ns: int) -> Script[bool]:
        return (yield _reach(mask, wanted, limit_ns)) & mask == wanted

    def _demand(self, mask: int, wanted: int) -> Script[None]:
        if not (yield from self._reaches(mask, wanted, self.timing.answer_limit_ns)):
            raise _NoAnswerError

    def _give_up(self) -> Script[None]:
        self.drives &= ~_DATA
        self._set(_CLK, 1)
        self._set(_BODY_ACK, 0)
        yield self.timing.answer_limit_ns


# The lens


@record(frozen=True, slots=True)
class Answer:
    """What a lens says to a command.

    The errors are what a lens that cannot reckon adds to the right figure; sums wrap at a byte, the length at a word.

    Attributes:
        block: the data that it sends, for a command of shape read.
        status: the status byte, for a command of shape complete.
        busy_ns: how long it works before that.
        command_sum_error: added to the sum of the command.
        data_sum_error: added to the sum of the block, whoever sent that.
        length_error: added to the length word of the block that it sends.
    """

    block: bytes = b""
    status: int = 0
    busy_ns: int = 0
    command_sum_error: int = 0
    data_sum_error: int = 0
    length_error: int = 0

    def command_sum(self, command: bytes) -> bytes:
        """Return the byte that it sends for a command."""
        return bytes([(wire_sum(command) + self.command_sum_error) & 0xFF])

    def data_sum(self, data: bytes) -> bytes:
        """Return the byte that it sends for the data of a block."""
        return bytes([(wire_sum(data) + self.data_sum_error) & 0xFF])

    def wire_block(self) -> bytes:
        """Return the whole block that it sends: length, data and sum."""
        length = (len(self.block) + 1 + self.length_error) & 0xFFFF
        return length.to_bytes(LENGTH_SIZE, "little") + self.block + self.data_sum(self.block)


class Glass(Protocol):
    """What is behind the pins of a lens."""

    def answer(self, command: bytes, now_ns: int) -> Answer:
        """Return what the lens says to a command that it has taken at this time."""
        ...

    def take(self, command: bytes, block: bytes, now_ns: int) -> None:
        """Take a block that the body has written."""
        ...


class PinLens(PinEnd):
    """A lens: wakes up, and serves transactions until it is switched off.

    Args:
        timing: its delays.
        glass: what it answers.
        shape_of: the shape of a command, or None when nobody knows it: a catalogue's own method.
    """

    role = Role.LENS
    takes_whole_bytes: ClassVar[bool] = True
    """Whether a mount may carry whole bytes to and from it; a lens that must see every edge says no."""

    def __init__(self, timing: LensTiming, glass: Glass, shape_of: Callable[[bytes], Shape | None]) -> None:
        super().__init__(_LENS_ACK, 0)
        self.timing = timing
        self._glass = glass
        self._shape_of = shape_of
        self._start(self._live())

    def _lose_power(self) -> None:
        """Forget what it was doing: SLEEP fell."""
        self._needs = 0
        self._let_go()
        self._start(self._live())

    def _let_go(self) -> None:
        self._set(_LENS_ACK, 0)
        self._set(_DATA, 0)
        self.drives &= ~_DATA

    def _live(self) -> Script[None]:
        yield _reach(_SLEEP, _SLEEP)
        self._needs = _SLEEP
        yield from self._wake()
        while True:
            if not (yield from self._serve()):
                self._let_go()
                yield _reach(_BODY_ACK, 0)

    def _wake(self) -> Script[None]:
        yield _reach(_BODY_ACK, _BODY_ACK)
        yield self.timing.wake_ns
        self._set(_LENS_ACK, 1)
        yield self.timing.wake_width_ns
        self._set(_LENS_ACK, 0)
        yield _reach(_BODY_ACK, 0)

    def _serve(self) -> Script[bool]:
        """Serve one transaction; return False when the body broke it off."""
        command = yield from self._hear(COMMAND_SIZE)
        if command is None:
            return False
        answer = self._glass.answer(command, self.now_ns)
        if not (yield from self._say(answer.command_sum(command))):
            return False
        shape = self._shape_of(command)
        return shape is None or (yield from self._follow(command, shape, answer))

    def _follow(self, command: bytes, shape: Shape, answer: Answer) -> Script[bool]:
        """Do what follows the sum of a command."""
        phase = AFTER_COMMAND[shape]
        if phase is Phase.STATUS:
            yield from self._work(answer.busy_ns)
            return (yield from self._say(bytes([answer.status])))
        if SHAPES[shape].block_sender is Role.LENS:
            return (yield from self._say(answer.wire_block(), first=False))
        if SHAPES[shape].block_sender is Role.BODY:
            return (yield from self._take_block(command, answer))
        return True

    def _take_block(self, command: bytes, answer: Answer) -> Script[bool]:
        block = yield from self._hear(None)
        if block is None:
            return False
        data = block[LENGTH_SIZE:]
        if not (yield from self._say(answer.data_sum(data))):
            return False
        self._glass.take(command, data, self.now_ns)
        return True

    # the handshake

    def _hear(self, size: int | None) -> Script[bytes | None]:
        """Take a turn of the body: so many bytes, or a block as long as its length word says."""
        timing = self.timing
        yield _reach(_BODY_ACK, _BODY_ACK)
        yield timing.answer_ns
        self._set(_LENS_ACK, 1)
        heard = bytearray()
        while True:
            value = yield from self._shift_in()
            if value is None:
                return None
            heard.append(value)
            yield timing.ack_ns
            self._set(_LENS_ACK, 0)
            if len(heard) == (_block_size(heard) if size is None else size):
                break
            yield timing.ack_width_ns
            self._set(_LENS_ACK, 1)
        yield _reach(_BODY_ACK, 0)
        return bytes(heard)

    def _say(self, values: bytes, *, first: bool = True) -> Script[bool]:
        """Send bytes, each in a turn of its own; return False when the body broke off."""
        timing = self.timing
        for value in values:
            yield timing.sum_ns if first else timing.reply_ns
            first = False
            self.drives |= _DATA
            self._set(_LENS_ACK, 1)
            yield _reach(_BODY_ACK, _BODY_ACK)
            if not (yield from self._shift_out(value)):
                return False
            yield _reach(_BODY_ACK, 0)
            yield timing.release_ns
            self._set(_LENS_ACK, 0)
        self._set(_DATA, 0)
        self.drives &= ~_DATA
        return True

    def _work(self, busy_ns: int) -> Script[None]:
        yield _reach(_BODY_ACK, _BODY_ACK)
        yield self.timing.answer_ns
        self._set(_LENS_ACK, 1)
        yield max(busy_ns, self.timing.ack_width_ns)
        self._set(_LENS_ACK, 0)
        yield _reach(_BODY_ACK, 0)

    def _shift_in(self) -> Script[int | None]:
        """Take eight bits, each when CLK rises; return None when BODY_ACK falls before the eighth."""
        value = yield from self._whole_byte(ANY_BYTE, _CLOCK_RISES)
        if value is not None:
            return value
        value, levels = 0, self._levels
        for place in range(BITS_PER_BYTE):
            if place:
                levels = yield _CLOCK_RISES
            if not levels & _BODY_ACK:
                return None
            value |= bool(levels & _DATA) << place
        return value

    def _shift_out(self, value: int) -> Script[bool]:
        """Give eight bits, each behind a fall of CLK; return False when BODY_ACK falls before the eighth rise."""
        if (yield from self._whole_byte(value, _CLOCK_FALLS)) is not None:
            self._set(_DATA, value >> BITS_PER_BYTE - 1)
            return True
        levels = self._levels
        for place in range(BITS_PER_BYTE):
            if place and levels & _BODY_ACK:
                levels = yield _CLOCK_FALLS
            if not levels & _BODY_ACK:
                return False
            levels = yield self.timing.data_ns
            self._set(_DATA, value >> place & 1)
        if levels & _BODY_ACK and not levels & _CLK:
            levels = yield _CLOCK_RISES
        return bool(levels & _BODY_ACK)


def _block_size(heard: bytearray) -> int:
    """Return how many bytes a written block has in all, once its length word is there; until then, more than it has."""
    if len(heard) < LENGTH_SIZE:
        return LENGTH_SIZE + 1
    return LENGTH_SIZE + max(int.from_bytes(heard[:LENGTH_SIZE], "little") - 1, 0)
