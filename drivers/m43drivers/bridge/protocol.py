"""The link between a host and the bridge: its messages and its frames (specs/11-bridge-link.md).

Each message is declared once, as a frozen dataclass whose fields carry their construct layout; `KINDS` lists them all,
and the table of the written page comes from it. A frame is ``COBS(body) 00``, and the body is sequence number, kind,
payload and CRC. Everything on this link is this project's own (provisional).

    wire = encode(7, Hello())
    [frame] = Decoder().feed(wire)          # Frame(seq=7, message=Hello())
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, TypeAlias

import construct
import crcmod.predefined

from m43drivers.bridge.quick import quick_layout
from m43drivers.transport import Break, Report
from m43proto.errors import DecodeError, EncodeError
from m43proto.shapes import COMMAND_SIZE, Shape

__all__ = [
    "ANSWER_BIT",
    "KINDS",
    "LONGEST_BODY",
    "UNSOLICITED_SEQ",
    "VERSION",
    "BadFrame",
    "Counters",
    "CountersAnswer",
    "Decoder",
    "Done",
    "Edges",
    "Frame",
    "FramesStarted",
    "Heard",
    "Heartbeat",
    "Hello",
    "HelloAnswer",
    "LinkMessage",
    "Listen",
    "ListenBegun",
    "Load",
    "Loaded",
    "Polled",
    "Power",
    "PowerAnswer",
    "Probe",
    "ProbeBegun",
    "Refusal",
    "RefusalCode",
    "SelfTest",
    "SelfTestAnswer",
    "StartFrames",
    "StepDone",
    "Stop",
    "Stopped",
    "Transact",
    "cobs_decoded",
    "cobs_encoded",
    "crc16",
    "encode",
    "fields_of",
]

VERSION = 1
"""The version of the link that this module speaks."""

ANSWER_BIT = 0x80
"""Set in the kind of an answer; the rest is the kind of its request."""

UNSOLICITED_SEQ = 0
"""The sequence number of what the bridge says without being asked."""

LONGEST_BODY = 0x10000 + 64
"""Bytes of the longest body: a whole block, and what stands around it."""

_METADATA_KEY = "m43"
_CRC_SIZE = 2
_HEAD_SIZE = 2

crc16 = crcmod.predefined.mkCrcFun("crc-ccitt-false")
"""CRC-16/CCITT-FALSE of bytes: polynomial 0x1021, first 0xFFFF, not reflected."""


# layouts


@dataclass(frozen=True, slots=True)
class Part:
    """How a field stands in the payload.

    Attributes:
        layout: its construct layout.
        wire: the layout in words, for the written page.
        doc: what it is.
    """

    layout: construct.Construct[Any, Any]
    wire: str
    doc: str


def _part(layout: construct.Construct[Any, Any], wire: str, doc: str, **options: Any) -> Any:
    return dataclasses.field(metadata={_METADATA_KEY: Part(layout, wire, doc)}, **options)


def _codes(values: list[Any]) -> construct.Construct[Any, Any]:
    return construct.Mapping(construct.Int8ul, {value: code for code, value in enumerate(values)})


def _words(values: list[Any]) -> str:
    return ", ".join(f"{code} {'none' if value is None else value}" for code, value in enumerate(values))


_SHAPES: list[Any] = list(Shape)
_BREAKS: list[Any] = [None, *Break]
_REPORTS: list[Any] = list(Report)


def _u16(doc: str, **options: Any) -> Any:
    return _part(construct.Int16ul, "u16", doc, **options)


def _u32(doc: str, **options: Any) -> Any:
    return _part(construct.Int32ul, "u32", doc, **options)


def _time(doc: str) -> Any:
    return _part(construct.Int64ul, "u64", doc)


def _flag(doc: str) -> Any:
    return _part(construct.Mapping(construct.Int8ul, {False: 0, True: 1}), "u8", doc)


def _text(doc: str) -> Any:
    return _part(construct.PascalString(construct.Int8ul, "utf8"), "u8 length, UTF-8", doc)


def _last_text(doc: str, **options: Any) -> Any:
    return _part(construct.GreedyString("utf8"), "UTF-8, the rest", doc, **options)


def _command(doc: str) -> Any:
    return _part(construct.Bytes(COMMAND_SIZE), "4 bytes", doc)


def _said() -> Any:
    return _part(
        construct.GreedyBytes,
        "the rest",
        "all that the lens said, in order: sum of the command, length, data, sum, status",
    )


def _levels(doc: str) -> Any:
    return _part(construct.Int8ul, "u8: a bit for each line", doc)


def _broke_off() -> Any:
    return _part(_codes(_BREAKS), f"u8: {_words(_BREAKS)}", "why it broke off")


# messages


@dataclass(frozen=True, slots=True)
class LinkMessage:
    """A message of the link.

    Attributes:
        kind: its number on the wire.
        repeatable: whether a host may send it again when no answer comes.
    """

    kind: ClassVar[int]
    repeatable: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Hello(LinkMessage):
    """Asks who is there."""

    kind = 0x01
    repeatable = True


@dataclass(frozen=True, slots=True)
class HelloAnswer(LinkMessage):
    """Tells who is there."""

    kind = Hello.kind | ANSWER_BIT
    version: int = _part(construct.Int8ul, "u8", "version of the link")
    boot_id: int = _u32("another number after each start of the bridge")
    longest_block: int = _u32("bytes of the longest block that it takes, with length and sum")
    name: str = _text("what it is")
    firmware: str = _text("version of its firmware")


@dataclass(frozen=True, slots=True)
class Transact(LinkMessage):
    """Carries out one transaction, between the frames if there are any."""

    kind = 0x02
    command: bytes = _command("the command")
    shape: Shape = _part(_codes(_SHAPES), f"u8: {_words(_SHAPES)}", "what follows the command and its sum")
    block: bytes = _part(
        construct.Prefixed(construct.Int16ul, construct.GreedyBytes),
        "u16 length, bytes",
        "data to write, without length and sum",
        default=b"",
    )


@dataclass(frozen=True, slots=True)
class Done(LinkMessage):
    """Tells what came of a transaction."""

    kind = Transact.kind | ANSWER_BIT
    broke_off: Break | None = _broke_off()
    start_us: int = _time("when it began")
    end_us: int = _time("when it ended, or broke off")
    said: bytes = _said()


@dataclass(frozen=True, slots=True)
class Power(LinkMessage):
    """Raises SLEEP and waits for the wake pulse, or stops the frames and drops SLEEP."""

    kind = 0x03
    repeatable = True
    on: bool = _flag("1 to raise SLEEP")


@dataclass(frozen=True, slots=True)
class PowerAnswer(LinkMessage):
    """Tells whether the lens woke."""

    kind = Power.kind | ANSWER_BIT
    woke: bool = _flag("1 if the lens gave its wake pulse")
    t_us: int = _time("when")


@dataclass(frozen=True, slots=True)
class StartFrames(LinkMessage):
    """Begins to pulse SHUTTER, poll and toggle FOCUS, frame after frame, or goes on in another way."""

    kind = 0x04
    repeatable = True
    period_us: int = _u32("from frame to frame")
    shutter_us: int = _u16("width of the pulse on SHUTTER")
    lead_us: int = _u16("from the fall of SHUTTER to the poll")
    report: Report = _part(_codes(_REPORTS), f"u8: {_words(_REPORTS)}", "which polls to tell of")
    poll: bytes = _command("the command of the poll, of shape read")


@dataclass(frozen=True, slots=True)
class FramesStarted(LinkMessage):
    """The frames go on as asked."""

    kind = StartFrames.kind | ANSWER_BIT


@dataclass(frozen=True, slots=True)
class Stop(LinkMessage):
    """Stops the frames, ends a probe, with which the lens is switched off, and ends listening."""

    kind = 0x05
    repeatable = True


@dataclass(frozen=True, slots=True)
class Stopped(LinkMessage):
    """There are no frames and no probe, and nobody listens; nothing of these follows."""

    kind = Stop.kind | ANSWER_BIT


@dataclass(frozen=True, slots=True)
class Counters(LinkMessage):
    """Asks for the counters."""

    kind = 0x06
    repeatable = True


_COUNTED = ("bad_frames", "lens_breaks", "polls", "late_frames", "dropped")


@dataclass(frozen=True, slots=True)
class CountersAnswer(LinkMessage):
    """Tells the counters, each since the start of the bridge."""

    kind = Counters.kind | ANSWER_BIT
    t_us: int = _time("when")
    bad_frames: int = _u32("frames of the host that were no frames")
    lens_breaks: int = _u32("transactions that broke off")
    polls: int = _u32("polls carried out")
    late_frames: int = _u32("frames that began late, or not at all")
    dropped: int = _u32("messages that the host did not take in time")

    @property
    def counters(self) -> dict[str, int]:
        """The counters by name."""
        return {name: getattr(self, name) for name in _COUNTED}


@dataclass(frozen=True, slots=True)
class SelfTest(LinkMessage):
    """Asks the bridge to test itself, with nothing at the contacts."""

    kind = 0x07


@dataclass(frozen=True, slots=True)
class SelfTestAnswer(LinkMessage):
    """Tells what came of the test."""

    kind = SelfTest.kind | ANSWER_BIT
    code: int = _part(construct.Int8ul, "u8", "0 passed, otherwise which step failed")
    text: str = _last_text("one line for a person")


@dataclass(frozen=True, slots=True)
class Polled(LinkMessage):
    """A poll that the bridge has done by itself."""

    kind = 0x40
    alike: int = _u32("how many polls since the last one told of were not told, because they were like it")
    broke_off: Break | None = _broke_off()
    start_us: int = _time("when it began")
    end_us: int = _time("when it ended, or broke off")
    said: bytes = _said()


@dataclass(frozen=True, slots=True)
class Heartbeat(LinkMessage):
    """A sign of life, every second."""

    kind = 0x41
    t_us: int = _time("when")
    alike: int = _u32("how many polls since the last one told of were not told, because they were like it")
    bad_frames: int = _u32("as in CountersAnswer")
    lens_breaks: int = _u32("as in CountersAnswer")
    polls: int = _u32("as in CountersAnswer")
    late_frames: int = _u32("as in CountersAnswer")
    dropped: int = _u32("as in CountersAnswer")

    @property
    def counters(self) -> dict[str, int]:
        """The counters by name."""
        return {name: getattr(self, name) for name in _COUNTED}


@dataclass(frozen=True, slots=True)
class Probe(LinkMessage):
    """Begins a probe, or begins one anew: stops frames and the probe before, and switches the lens off."""

    kind = 0x08
    repeatable = True


@dataclass(frozen=True, slots=True)
class ProbeBegun(LinkMessage):
    """Programs may come."""

    kind = Probe.kind | ANSWER_BIT
    t: int = _part(construct.Int64ul, "u64", "the time now, in ticks of the clock of probes")
    tick_ns: int = _u32("length of a tick")
    room: int = _u32("bytes of programs that the bridge holds")
    hands: int = _part(
        construct.Int8ul,
        "u8: bit 0 zoom ring, 1 focus ring, 2 off and on, 4 a new lens for each probe",
        "what it can do to the lens by `HAND`; on a board, nothing",
    )
    levels: int = _levels("levels of the lines at time 0")


@dataclass(frozen=True, slots=True)
class Load(LinkMessage):
    """Puts a program behind those that wait or are carried out."""

    kind = 0x09
    program: bytes = _part(construct.GreedyBytes, "the rest", "the program")


@dataclass(frozen=True, slots=True)
class Loaded(LinkMessage):
    """The program will be carried out."""

    kind = Load.kind | ANSWER_BIT
    room: int = _u32("bytes of programs that there is room for now")


@dataclass(frozen=True, slots=True)
class Edges(LinkMessage):
    """Edges of a probe."""

    kind = 0x42
    number: int = _u32("counts `Edges` and `StepDone` of this probe together, from 0")
    lost: int = _u32("edges that the bridge could not keep, between the last one told and these")
    t: int = _part(construct.Int64ul, "u64", "time of the last edge told before, or of the beginning, in ticks")
    levels: int = _levels("levels of the lines then")
    coded: bytes = _part(construct.GreedyBytes, "the rest", "the edges")


@dataclass(frozen=True, slots=True)
class StepDone(LinkMessage):
    """A program has ended; its edges were told before."""

    kind = 0x43
    number: int = _u32("counts `Edges` and `StepDone` of this probe together, from 0")
    index: int = _u32("which program of this probe, from 0")
    done: bool = _flag("1 if it went as it should")
    start: int = _part(construct.Int64ul, "u64", "when it began, in ticks")
    end: int = _part(construct.Int64ul, "u64", "when it ended, in ticks")


@dataclass(frozen=True, slots=True)
class Listen(LinkMessage):
    """Begins to listen, or begins anew: all else ends, the lens is switched off, and the bridge drives no line."""

    kind = 0x0A
    repeatable = True


@dataclass(frozen=True, slots=True)
class ListenBegun(LinkMessage):
    """The bridge listens, from time 0 on; until something is told, CLK is high and all other lines are low."""

    kind = Listen.kind | ANSWER_BIT
    tick_ns: int = _u32("length of a tick, the unit of the times of `Heard`")


@dataclass(frozen=True, slots=True)
class Heard(LinkMessage):
    """What a bridge that listens has heard; at least every 100 ms, even if it is nothing."""

    kind = 0x44
    number: int = _u32("counts `Heard` since listening began, from 0")
    lost: int = _u32("words that the bridge could not keep, between the end of the last one told and `t`; 0 for none")
    t: int = _part(construct.Int64ul, "u64", "time from which the first event counts, in ticks")
    levels: int = _levels("levels of the lines then; of DATA, the bit heard last")
    until: int = _part(construct.Int64ul, "u64", "everything before this time has been told, in ticks")
    coded: bytes = _part(construct.GreedyBytes, "the rest", "the events")


class RefusalCode(IntEnum):
    """Why a bridge refuses a request; another number than these may come from a later bridge."""

    UNKNOWN_KIND = 1
    MALFORMED = 2
    BUSY = 3
    TOO_LONG = 4
    INTERNAL = 5
    UNABLE = 6


@dataclass(frozen=True, slots=True)
class Refusal(LinkMessage):
    """The bridge does not do what it was asked; it stands in place of the answer."""

    kind = 0xFF
    code: int = _part(
        construct.Int8ul, "u8: 1 unknown kind, 2 malformed, 3 busy, 4 too long, 5 internal, 6 unable", "why"
    )
    text: str = _last_text("one line for a person")


def fields_of(cls: type[LinkMessage]) -> dict[str, Part]:
    """Return how the fields of a message stand in its payload, by name and in their order."""
    return {field.name: field.metadata[_METADATA_KEY] for field in dataclasses.fields(cls)}


KINDS: dict[int, type[LinkMessage]] = {
    message.kind: message
    for message in (
        Hello,
        HelloAnswer,
        Transact,
        Done,
        Power,
        PowerAnswer,
        StartFrames,
        FramesStarted,
        Stop,
        Stopped,
        Counters,
        CountersAnswer,
        SelfTest,
        SelfTestAnswer,
        Probe,
        ProbeBegun,
        Load,
        Loaded,
        Listen,
        ListenBegun,
        Polled,
        Heartbeat,
        Edges,
        StepDone,
        Heard,
        Refusal,
    )
}
"""Every message of the link, by its kind."""

_LAYOUTS: dict[int, construct.Construct[Any, Any]] = {
    kind: construct.Struct(*(name / part.layout for name, part in fields_of(message).items()), construct.Terminated)
    for kind, message in KINDS.items()
}

_QUICK = {
    kind: quick_layout({name: part.layout for name, part in fields_of(message).items()})
    for kind, message in KINDS.items()
}

_NAMES = {kind: tuple(fields_of(message)) for kind, message in KINDS.items()}


# frames


@dataclass(frozen=True, slots=True)
class Frame:
    """A message that has come.

    Attributes:
        seq: the sequence number that joins an answer to its request; 0 for what nobody asked for.
        message: what it says.
    """

    seq: int
    message: LinkMessage


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Bytes between two zeros that are no frame.

    Attributes:
        reason: what is wrong.
        data: the bytes, at most the first hundred.
    """

    reason: str
    data: bytes


Received: TypeAlias = Frame | BadFrame


def encode(seq: int, message: LinkMessage) -> bytes:
    """Return a whole frame, with the zero that ends it.

    Args:
        seq: sequence number, 0 to 255.
        message: what to say.

    Raises:
        EncodeError: a value does not fit its field.
    """
    values = {name: getattr(message, name) for name in _NAMES[message.kind]}
    quick = _QUICK[message.kind]
    try:
        payload = quick.build(values) if quick is not None else None
        if payload is None:
            payload = _LAYOUTS[message.kind].build(values)
        body = bytes([seq, message.kind]) + payload
    except (construct.ConstructError, ValueError, TypeError) as error:
        raise EncodeError(f"{type(message).__name__} with seq {seq}: {_first_line(error)}") from None
    if len(body) + _CRC_SIZE > LONGEST_BODY:
        raise EncodeError(f"{type(message).__name__}: {len(body)} bytes are too long for a frame")
    return cobs_encoded(body + crc16(body).to_bytes(_CRC_SIZE, "little")) + b"\0"


class Decoder:
    """Turns a stream of bytes into frames; it never raises, and finds its way again at the next zero."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[Received]:
        """Take bytes as they come; return what they complete, in order."""
        received: list[Received] = []
        *ended, begun = data.split(b"\0")
        for part in ended:
            self._hold(part)
            if self._held:
                received.append(self._frame())
            self._held.clear()
            self._overlong = False
        self._hold(begun)
        return received

    def _hold(self, part: bytes) -> None:
        room = _LONGEST_ENCODED - len(self._held)
        self._overlong |= len(part) > room
        self._held += part[:room]

    def _frame(self) -> Received:
        if self._overlong:
            return _bad("longer than any frame", self._held)
        try:
            return _frame_of(cobs_decoded(bytes(self._held)))
        except DecodeError as error:
            return _bad(str(error), self._held)


def _bad(reason: str, data: bytearray) -> BadFrame:
    return BadFrame(reason, bytes(data[:100]))


def _frame_of(body: bytes) -> Frame:
    if len(body) < _HEAD_SIZE + _CRC_SIZE:
        raise DecodeError(f"{len(body)} bytes are too short for a frame", data=body)
    told, content = body[-_CRC_SIZE:], body[:-_CRC_SIZE]
    if int.from_bytes(told, "little") != crc16(content):
        raise DecodeError("wrong CRC", data=body)
    seq, kind = content[:_HEAD_SIZE]
    if kind not in KINDS:
        raise DecodeError(f"no message is of kind {kind:#04x}", data=body)
    payload = content[_HEAD_SIZE:]
    quick = _QUICK[kind]
    values = quick.parse(payload) if quick is not None else None
    if values is None:
        values = _slowly_parsed(kind, payload, body)
    return Frame(seq, KINDS[kind](**values))


def _slowly_parsed(kind: int, payload: bytes, body: bytes) -> dict[str, Any]:
    try:
        values = _LAYOUTS[kind].parse(payload)
    except (construct.ConstructError, ValueError) as error:
        raise DecodeError(f"{KINDS[kind].__name__}: {_first_line(error)}", data=body) from None
    return {name: values[name] for name in _NAMES[kind]}


def _first_line(error: Exception) -> str:
    """Return what construct or Python says, without the path that construct puts before it."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("Error in path")]
    return lines[0] if lines else type(error).__name__


# Consistent overhead byte stuffing

_GROUP = 254


def cobs_encoded(data: bytes) -> bytes:
    """Return data without zeros: each zero and each run of 254 other bytes becomes the distance to the next."""
    out = bytearray()
    for group in data.split(b"\0"):
        full = 0
        while len(group) - full >= _GROUP:
            out.append(_GROUP + 1)
            out += group[full : full + _GROUP]
            full += _GROUP
        out.append(len(group) - full + 1)
        out += group[full:]
    if full and not group[full:]:
        out.pop()
    return bytes(out)


def cobs_decoded(data: bytes) -> bytes:
    """Return what `cobs_encoded` was given.

    Raises:
        DecodeError: the data are cut off, or hold a zero.
    """
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        group = data[at + 1 : at + code]
        if code == 0 or len(group) < code - 1 or 0 in group:
            raise DecodeError("the zeros are not where they are said to be", data=data)
        out += group
        at += code
        if code <= _GROUP and at < len(data):
            out.append(0)
    return bytes(out)


_LONGEST_ENCODED = LONGEST_BODY + LONGEST_BODY // _GROUP + 1
