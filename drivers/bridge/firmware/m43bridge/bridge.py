"""What the bridge does: takes the bytes of the host, works at the contacts, keeps the frame schedule, answers.

`Bridge` knows neither USB nor pins: bytes go in and out, and the hardware stands behind `Contacts`. Whoever owns both
calls `Bridge.step` at the time that `Bridge.next_us` names, or earlier::

    bridge.feed(read())
    bridge.step()
    write(bridge.take(64))

Times are microseconds of `Contacts.now_us`, which never goes back.
"""

import struct

from m43bridge.frames import ANSWER_BIT, Decoder, encode
from m43bridge.listening import Ears, Listening
from m43bridge.probe import Pins, Program, ProgramError
from m43bridge.probing import Probing

VERSION = 1
FIRMWARE = "0.3.0"
LONGEST_BLOCK = 0x2002

NONE, NO_ANSWER, SILENT, BUSY, LENGTH = range(5)
SET, COMPLETE, READ, WRITE = range(4)
ALL, CHANGES = range(2)

HELLO, TRANSACT, POWER, FRAMES, STOP, COUNTERS, SELFTEST, PROBE, LOAD, LISTEN = range(1, 11)
POLLED, HEARTBEAT, REFUSAL = 0x40, 0x41, 0xFF

UNKNOWN_KIND, MALFORMED, IS_BUSY, TOO_LONG, INTERNAL, UNABLE = range(1, 7)

BEAT_US = 1_000_000
ROOM_US = 2_500
LATE_US = 1_000
FOCUS_US = 4_000
SHORTEST_PERIOD_US = 2_000
OUT_LIMIT = 4096

_HEAD_OF_TRANSACT = 7
_AROUND_BLOCK = 32

_SHUTTER_UP, _SHUTTER_DOWN, _POLL, _TOGGLE = range(4)


class Contacts:
    """The contacts of the mount, and the clock."""

    def now_us(self) -> int:
        """Return the time; it never goes back."""
        raise NotImplementedError

    def power(self, on: bool) -> bool:
        """Raise SLEEP and see the wake pulse, or drop it; return whether the lens gave its wake pulse."""
        raise NotImplementedError

    def transact(self, command: bytes, shape: int, block: bytes) -> tuple[int, int, int, bytes]:
        """Carry out one transaction.

        Args:
            command: the four command bytes.
            shape: `SET`, `COMPLETE`, `READ` or `WRITE`.
            block: data to write, without length and sum.

        Returns:
            why it broke off (`NONE` to `LENGTH`), when it began and ended, and all that the lens said.
        """
        raise NotImplementedError

    def shutter(self, level: int) -> None:
        """Set SHUTTER."""
        raise NotImplementedError

    def focus(self) -> None:
        """Change the level of FOCUS."""
        raise NotImplementedError

    def probe(self) -> Pins:
        """Return pins to probe a lens with (`m43bridge.probe.Pins`), at their time 0, with the lens off.

        Raises:
            RefusedError: these contacts carry out whole transactions only.
        """
        raise RefusedError(UNABLE, "these contacts carry out whole transactions; they cannot move single lines")

    def listen(self) -> Ears:
        """Let go of all lines, and return what hears them (`m43bridge.listening.Ears`), at its time 0.

        Raises:
            RefusedError: these contacts have no ears.
        """
        raise RefusedError(UNABLE, "these contacts cannot listen")

    def self_test(self) -> tuple[int, str]:
        """Test the bridge with nothing at the contacts; return 0, or which step failed, and a line for a person."""
        raise NotImplementedError


class RefusedError(Exception):
    """A request that is not done: its code, and one line for a person."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Bridge:
    """The bridge without its hardware.

    Args:
        contacts: the hardware.
        boot_id: another number after each start, 32 bits.
        name: what to call itself.

    Attributes:
        decoder: takes the host's bytes, and counts those that are no frames.
        lens_breaks: transactions that broke off.
        polls: polls carried out.
        late_frames: frames that began late, or not at all.
        dropped: messages that the host did not take in time.
    """

    def __init__(self, contacts: Contacts, boot_id: int, name: str = "m43 bridge") -> None:
        self.contacts = contacts
        self.decoder = Decoder(LONGEST_BLOCK + _AROUND_BLOCK)
        self.lens_breaks = 0
        self.polls = 0
        self.late_frames = 0
        self.dropped = 0
        self._boot_id = boot_id
        self._name = name
        self._out = bytearray()
        self._answered = (-1, -1)
        self._answer = b""
        self._pending: tuple[int, bytes, int, bytes] | None = None
        self._on = False
        self._woke = False
        self._beat_us = contacts.now_us() + BEAT_US
        self._frames: tuple[int, int, int, int, bytes] | None = None
        self._stage = _SHUTTER_UP
        self._start_us = 0
        self._due_us = 0
        self._served = False
        self._last: tuple[int, bytes] | None = None
        self._alike = 0
        self._probing: Probing | None = None
        self._listening: Listening | None = None
        self._listen_us = 0
        self._handlers = {
            HELLO: self._hello,
            POWER: self._power,
            FRAMES: self._start_frames,
            STOP: self._stop,
            COUNTERS: self._tell_counters,
            SELFTEST: self._self_test,
            PROBE: self._probe,
            LOAD: self._load,
            LISTEN: self._listen,
        }

    # bytes

    @property
    def hears(self) -> bool:
        """Whether it takes bytes now: not while the host leaves too many of its own unread."""
        return len(self._out) <= OUT_LIMIT

    def feed(self, data: bytes) -> None:
        """Take bytes of the host."""
        for seq, kind, payload in self.decoder.feed(data):
            self._take(seq, kind, payload)

    def take(self, size: int) -> bytes:
        """Return at most so many bytes for the host, and forget them."""
        part = bytes(self._out[:size])
        self._out = self._out[size:]
        return part

    # time

    def next_us(self) -> int:
        """Return when `step` has something to do; a time in the past means at once."""
        due_us = self._beat_us
        if self._frames is not None and self._due_us < due_us:
            due_us = self._due_us
        if self._pending is not None and self._has_room():
            due_us = min(due_us, self.contacts.now_us())
        if self._may_probe(self._probing):
            due_us = min(due_us, self.contacts.now_us())
        if self._listening is not None and self.hears:
            due_us = min(due_us, self._listen_us)
        return due_us

    def step(self) -> None:
        """Do what is due."""
        if self._frames is not None and self.contacts.now_us() >= self._due_us:
            self._go_on(self._frames)
        if self._pending is not None and self._has_room():
            self._serve(self._pending)
        probing = self._probing
        if probing is not None and self._may_probe(probing):
            probing.work()
        self._hear()
        now_us = self.contacts.now_us()
        if now_us >= self._beat_us:
            self._beat_us = now_us + BEAT_US
            self._tell(HEARTBEAT, struct.pack("<QI", now_us, self._alike) + self._counters())

    # requests

    def _take(self, seq: int, kind: int, payload: bytes) -> None:
        if (seq, kind) == self._answered:
            self._out.extend(self._answer)
            return
        if kind == TRANSACT:
            if self._pending is None or self._pending[0] != seq:
                self._answer_with(seq, kind, self._queue, (seq, payload))
        elif kind in self._handlers:
            self._answer_with(seq, kind, self._handlers[kind], (payload,))
        else:
            self._refuse(seq, UNKNOWN_KIND, "kind %d is unknown" % kind)

    def _answer_with(self, seq: int, kind: int, handler, arguments: tuple) -> None:  # type: ignore[no-untyped-def,type-arg]
        try:
            payload = handler(*arguments)
        except RefusedError as error:
            self._refuse(seq, error.code, error.text)
            return
        except Exception as error:
            self._refuse(seq, INTERNAL, repr(error))
            return
        if payload is not None:
            self._answered = (seq, kind)
            self._answer = encode(seq, kind | ANSWER_BIT, payload)
            self._out.extend(self._answer)

    def _refuse(self, seq: int, code: int, text: str) -> None:
        self._out.extend(encode(seq, REFUSAL, bytes([code]) + text.encode()))

    def _hello(self, payload: bytes) -> bytes:
        _demand(len(payload) == 0, "HELLO has no payload")
        head = struct.pack("<BII", VERSION, self._boot_id, LONGEST_BLOCK)
        return head + _pascal(self._name) + _pascal(FIRMWARE)

    def _power(self, payload: bytes) -> bytes:
        _demand(payload in (b"\0", b"\1"), "POWER has one byte, 0 or 1")
        self._demand_free()
        on = payload == b"\1"
        if not on:
            self._end_frames()
        if not on or not self._on:
            self._woke = self.contacts.power(on)
        self._on = on
        return struct.pack("<BQ", self._woke, self.contacts.now_us())

    def _start_frames(self, payload: bytes) -> bytes:
        _demand(len(payload) == 13, "FRAMES has 13 bytes")
        self._demand_free()
        period_us, shutter_us, lead_us, report = struct.unpack("<IHHB", payload[:9])
        _demand(report in (ALL, CHANGES), "FRAMES: report is 0 or 1")
        _demand(
            period_us >= SHORTEST_PERIOD_US and period_us > shutter_us + lead_us,
            "FRAMES: the period is at least 2000 us, and longer than shutter and lead",
        )
        self._end_frames()
        self._frames = (period_us, shutter_us, lead_us, report, payload[9:])
        self._start_us = self._due_us = self.contacts.now_us()
        return b""

    def _stop(self, payload: bytes) -> bytes:
        _demand(len(payload) == 0, "STOP has no payload")
        self._end_frames()
        self._end_probe()
        self._end_listening()
        return b""

    def _end_frames(self) -> None:
        if self._frames is not None:
            self.contacts.shutter(0)
        self._frames = None
        self._stage = _SHUTTER_UP
        self._last = None
        self._alike = 0

    def _tell_counters(self, payload: bytes) -> bytes:
        _demand(len(payload) == 0, "COUNTERS has no payload")
        return struct.pack("<Q", self.contacts.now_us()) + self._counters()

    def _counters(self) -> bytes:
        counted = (self.decoder.bad, self.lens_breaks, self.polls, self.late_frames, self.dropped)
        return struct.pack("<IIIII", *(count & 0xFFFF_FFFF for count in counted))

    def _self_test(self, payload: bytes) -> bytes:
        _demand(len(payload) == 0, "SELFTEST has no payload")
        self._demand_free()
        if self._on or self._frames is not None or self._pending is not None:
            raise RefusedError(IS_BUSY, "switch the lens off and stop the frames first")
        code, text = self.contacts.self_test()
        return bytes([code]) + text.encode()

    # probes

    def _probe(self, payload: bytes) -> bytes:
        """Begin a probe, or begin anew: frames and the probe before it end, and the lens is switched off."""
        _demand(len(payload) == 0, "PROBE has no payload")
        if self._pending is not None:
            raise RefusedError(IS_BUSY, "a transaction is waiting")
        self._end_all()
        pins = self.contacts.probe()
        self._probing = Probing(pins, self._tell_in_any_case)
        return struct.pack("<QIIBB", self._probing.now(), pins.tick_ns, self._probing.room, pins.hands, pins.levels)

    def _load(self, payload: bytes) -> bytes:
        if self._probing is None:
            raise RefusedError(MALFORMED, "LOAD comes behind PROBE")
        if len(payload) > self._probing.room:
            raise RefusedError(TOO_LONG, "there is room for %d bytes of programs now" % self._probing.room)
        try:
            program = Program(payload)
        except ProgramError as error:
            raise RefusedError(MALFORMED, "LOAD: %s" % error) from None
        self._probing.load(program)
        return struct.pack("<I", self._probing.room)

    def _may_probe(self, probing: Probing | None) -> bool:
        """Tell whether a probe can go on: not while the host leaves too much unread."""
        return probing is not None and probing.busy and self.hears

    def _end_probe(self) -> None:
        if self._probing is not None:
            self._probing.rest()
        self._probing = None

    def _end_all(self) -> None:
        """End frames, a probe and listening, and switch the lens off."""
        self._end_frames()
        self._end_probe()
        self._end_listening()
        if self._on:
            self._on = self._woke = self.contacts.power(False)

    def _demand_free(self) -> None:
        if self._probing is not None:
            raise RefusedError(IS_BUSY, "a probe goes on; STOP ends it")
        if self._listening is not None:
            raise RefusedError(IS_BUSY, "the bridge listens; STOP ends it")

    def _tell_in_any_case(self, kind: int, payload: bytes) -> None:
        self._out.extend(encode(0, kind, payload))

    # listening

    def _listen(self, payload: bytes) -> bytes:
        """Begin to listen, or begin anew: all else ends, and the bridge drives no line."""
        _demand(len(payload) == 0, "LISTEN has no payload")
        if self._pending is not None:
            raise RefusedError(IS_BUSY, "a transaction is waiting")
        self._end_all()
        ears = self.contacts.listen()
        self._listening = Listening(ears, self._tell_in_any_case)
        self._listen_us = self.contacts.now_us()
        return struct.pack("<I", ears.tick_ns)

    def _hear(self) -> None:
        """Tell what was heard, unless the host leaves too much unread: then the ears hold it, as long as they can."""
        listening = self._listening
        if listening is not None and self.hears and self.contacts.now_us() >= self._listen_us:
            listening.work()
            self._listen_us = self.contacts.now_us() + listening.ears.pause_us

    def _end_listening(self) -> None:
        if self._listening is not None:
            self._listening.work()
            self._listening.flush()
            self._listening.ears.end()
        self._listening = None

    # transactions of the host

    def _queue(self, seq: int, payload: bytes) -> None:
        """Keep a transaction until there is room for it between the frames."""
        self._demand_free()
        if self._pending is not None:
            raise RefusedError(IS_BUSY, "another transaction is waiting")
        _demand(len(payload) >= _HEAD_OF_TRANSACT, "TRANSACT has at least 7 bytes")
        shape, size = struct.unpack("<BH", payload[4:_HEAD_OF_TRANSACT])
        block = payload[_HEAD_OF_TRANSACT:]
        _demand(shape in (SET, COMPLETE, READ, WRITE), "TRANSACT: shape is 0 to 3")
        _demand(len(block) == size, "TRANSACT: the block is not as long as it says")
        _demand(shape == WRITE or not block, "TRANSACT: only shape 3 writes a block")
        if len(block) + 3 > LONGEST_BLOCK:
            raise RefusedError(TOO_LONG, "the longest block has %d bytes with length and sum" % LONGEST_BLOCK)
        self._pending = (seq, payload[:4], shape, block)

    def _has_room(self) -> bool:
        """Tell whether a transaction of the host may begin: behind the poll of a frame, or well before the next frame.

        Behind a poll there is room for one only, so that the host cannot keep a frame from ending.
        """
        if self._frames is None:
            return True
        if self._stage == _TOGGLE:
            return not self._served
        return self._stage == _SHUTTER_UP and self._due_us - self.contacts.now_us() >= ROOM_US

    def _serve(self, request: tuple[int, bytes, int, bytes]) -> None:
        seq, command, shape, block = request
        self._pending = None
        self._answer_with(seq, TRANSACT, self._carry_out, (command, shape, block))
        if self._stage == _TOGGLE:
            self._served = True
            if self._frames is not None:
                self._due_us = self.contacts.now_us() + _focus_us(self._frames)

    def _carry_out(self, command: bytes, shape: int, block: bytes) -> bytes:
        broke_off, start_us, end_us, said = self.contacts.transact(command, shape, block)
        if broke_off:
            self.lens_breaks += 1
        return struct.pack("<BQQ", broke_off, start_us, end_us) + said

    # frames

    def _go_on(self, frames: tuple[int, int, int, int, bytes]) -> None:
        """Do the next step of the frame: SHUTTER up, SHUTTER down, poll, FOCUS."""
        period_us, shutter_us, lead_us, _, _ = frames
        now_us = self.contacts.now_us()
        if self._stage == _SHUTTER_UP:
            self._begin(now_us, period_us)
            self.contacts.shutter(1)
            self._due_us = now_us + shutter_us
        elif self._stage == _SHUTTER_DOWN:
            self.contacts.shutter(0)
            self._due_us = now_us + lead_us
        elif self._stage == _POLL:
            self._poll(frames)
            self._served = False
            self._due_us = self.contacts.now_us() + _focus_us(frames)
        else:
            self.contacts.focus()
            self._start_us += period_us
            self._due_us = self._start_us
        self._stage = (self._stage + 1) % 4

    def _begin(self, now_us: int, period_us: int) -> None:
        """Count a frame that is late, and those that are left out because of it."""
        behind_us = now_us - self._start_us
        if behind_us > LATE_US:
            left_out = behind_us // period_us
            self.late_frames += 1 + left_out
            self._start_us += left_out * period_us

    def _poll(self, frames: tuple[int, int, int, int, bytes]) -> None:
        broke_off, start_us, end_us, said = self.contacts.transact(frames[4], READ, b"")
        self.polls += 1
        if broke_off:
            self.lens_breaks += 1
        if frames[3] == CHANGES and not broke_off and (broke_off, said) == self._last:
            self._alike += 1
            return
        payload = struct.pack("<IBQQ", self._alike & 0xFFFF_FFFF, broke_off, start_us, end_us) + said
        self._last = (broke_off, said) if self._tell(POLLED, payload) else None
        self._alike = 0

    def _tell(self, kind: int, payload: bytes) -> bool:
        """Tell something that nobody asked for, unless too much is unread; return whether it will be told."""
        frame = encode(0, kind, payload)
        if len(self._out) + len(frame) > OUT_LIMIT:
            self.dropped += 1
            return False
        self._out.extend(frame)
        return True


def _focus_us(frames: tuple[int, int, int, int, bytes]) -> int:
    """Return the time from the last transaction of a frame to the change of FOCUS."""
    period_us, shutter_us, lead_us, _, _ = frames
    return min(FOCUS_US, (period_us - shutter_us - lead_us) // 2)


def _demand(right: bool, text: str) -> None:
    if not right:
        raise RefusedError(MALFORMED, text)


def _pascal(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data
