"""L0: the firmware's frame codec and the host's agree on every message, both ways, in any pieces, through garbage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import m43bridge.bridge as firmware
import m43bridge.frames as firmware_frames
import m43bridge.probing as probing
from m43drivers.bridge.protocol import (
    ANSWER_BIT,
    KINDS,
    VERSION,
    Counters,
    Decoder,
    Edges,
    Frame,
    Heartbeat,
    Hello,
    LinkMessage,
    Load,
    Polled,
    Power,
    Probe,
    Refusal,
    RefusalCode,
    SelfTest,
    StartFrames,
    StepDone,
    Stop,
    Transact,
    cobs_decoded,
    cobs_encoded,
    crc16,
    encode,
)
from m43drivers.transport import Break, Report
from m43proto.shapes import Shape
from tests.bridge.support import GARBAGE, MESSAGES

if TYPE_CHECKING:
    from random import Random

STUFF = st.lists(st.sampled_from([bytes(1), b"x" * 253, b"x" * 254, b"y"])).map(b"".join) | st.binary(max_size=600)


def payload_of(message: LinkMessage) -> bytes:
    """Return the payload as the host's codec makes it."""
    return cobs_decoded(encode(0, message)[:-1])[2:-2]


@given(STUFF)
def test_both_reckon_and_stuff_alike(data: bytes) -> None:
    assert firmware_frames.crc16(data) == crc16(data)
    assert firmware_frames.stuffed(data) == cobs_encoded(data)
    assert firmware_frames.unstuffed(cobs_encoded(data)) == data


@given(st.integers(0, 255), MESSAGES)
def test_both_make_the_same_frame(seq: int, message: LinkMessage) -> None:
    assert firmware_frames.encode(seq, message.kind, payload_of(message)) == encode(seq, message)


@given(st.lists(st.tuples(st.integers(0, 255), MESSAGES, GARBAGE), max_size=4), st.randoms(use_true_random=False))
def test_what_one_says_the_other_hears(drawn: list[tuple[int, LinkMessage, bytes]], random: Random) -> None:
    stream = b"".join(garbage + b"\0" + encode(seq, message) for seq, message, garbage in drawn)
    firmware_decoder, host_decoder = firmware_frames.Decoder(0x2022), Decoder()
    heard: list[tuple[int, int, bytes]] = []
    received: list[object] = []
    while stream:
        size = random.choice([1, 1, 7, 64, len(stream)])
        heard += firmware_decoder.feed(stream[:size])
        received += host_decoder.feed(stream[:size])
        stream = stream[size:]
    assert heard == [(seq, message.kind, payload_of(message)) for seq, message, _ in drawn]
    frames = [frame for frame in received if isinstance(frame, Frame)]
    assert frames == [Frame(seq, message) for seq, message, _ in drawn]
    assert firmware_decoder.bad == len(received) - len(frames)


@given(st.integers(0, 255), MESSAGES)
def test_byte_by_byte(seq: int, message: LinkMessage) -> None:
    decoder = firmware_frames.Decoder(0x2022)
    heard = [frame for value in encode(seq, message) for frame in decoder.feed(bytes([value]))]
    assert heard == [(seq, message.kind, payload_of(message))]


@pytest.mark.parametrize(
    "bad",
    [b"\x05a", cobs_encoded(b"\1\1\0\0"), cobs_encoded(b"\1\2\3"), b"x" * 9000, b"\xff" * 300],
    ids=["cut", "crc", "short", "overlong", "garbage"],
)
def test_a_bad_frame_is_counted_and_dropped(bad: bytes) -> None:
    decoder = firmware_frames.Decoder(0x2022)
    assert decoder.feed(bad + b"\0") == []
    assert decoder.bad == 1
    assert len(decoder._held) <= 0x2022 * 1.01
    assert decoder.feed(encode(9, Hello())) == [(9, Hello.kind, b"")]


def test_the_numbers_of_both_sides_are_the_same() -> None:
    assert firmware.VERSION == VERSION
    requests = {
        firmware.HELLO: Hello,
        firmware.TRANSACT: Transact,
        firmware.POWER: Power,
        firmware.FRAMES: StartFrames,
        firmware.STOP: Stop,
        firmware.COUNTERS: Counters,
        firmware.SELFTEST: SelfTest,
        firmware.PROBE: Probe,
        firmware.LOAD: Load,
    }
    assert {kind: KINDS[kind] for kind in requests} == requests
    assert firmware_frames.ANSWER_BIT == ANSWER_BIT
    assert (Polled.kind, Heartbeat.kind, Refusal.kind) == (firmware.POLLED, firmware.HEARTBEAT, firmware.REFUSAL)
    assert (Edges.kind, StepDone.kind) == (probing.EDGES, probing.STEP_DONE)
    codes = (firmware.UNKNOWN_KIND, firmware.MALFORMED, firmware.IS_BUSY, firmware.TOO_LONG, firmware.INTERNAL)
    assert (*codes, firmware.UNABLE) == tuple(RefusalCode)
    for code, shape in enumerate(Shape):
        assert (firmware.SET, firmware.COMPLETE, firmware.READ, firmware.WRITE)[code] == code
        assert payload_of(Transact(b"abcd", shape))[4] == code
    breaks = (firmware.NONE, firmware.NO_ANSWER, firmware.SILENT, firmware.BUSY, firmware.LENGTH)
    for code, broke_off in zip(breaks, [None, *Break], strict=True):
        assert payload_of(Polled(0, broke_off, 0, 0, b""))[4] == code
    for code, report in zip((firmware.ALL, firmware.CHANGES), Report, strict=True):
        assert payload_of(StartFrames(1, 2, 3, report, b"abcd"))[8] == code
