"""The link as the host speaks it: messages, frames, and what is no frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m43drivers.bridge.protocol import (
    ANSWER_BIT,
    KINDS,
    LONGEST_BODY,
    BadFrame,
    Counters,
    CountersAnswer,
    Decoder,
    Done,
    Frame,
    Heartbeat,
    Hello,
    LinkMessage,
    Power,
    Refusal,
    SelfTestAnswer,
    Transact,
    cobs_decoded,
    cobs_encoded,
    crc16,
    encode,
    fields_of,
)
from m43drivers.transport import Break
from m43proto.errors import DecodeError, EncodeError
from m43proto.shapes import Shape
from tests.bridge.support import GARBAGE, MESSAGES

SEQS = st.integers(0, 255)


def test_the_crc_is_the_one_of_the_catalogues() -> None:
    """The check value of CRC-16/CCITT-FALSE, which catalogues of CRCs list for these nine bytes."""
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("plain", "stuffed"),
    [
        ("", "01"),
        ("00", "0101"),
        ("0000", "010101"),
        ("11220033", "0311220233"),
        ("11220000", "0311220101"),
        (bytes(range(1, 255)).hex(), "ff" + bytes(range(1, 255)).hex()),
        (bytes(range(255)).hex(), "01ff" + bytes(range(1, 255)).hex()),
        (bytes(range(1, 256)).hex(), "ff" + bytes(range(1, 255)).hex() + "02ff"),
        (bytes(range(2, 256)).hex() + "00", "ff" + bytes(range(2, 256)).hex() + "0101"),
    ],
)
def test_cobs_is_as_published(plain: str, stuffed: str) -> None:
    """Cases of the kind that Cheshire and Baker's paper gives: around a zero, and around 254 bytes without one."""
    assert cobs_encoded(bytes.fromhex(plain)).hex() == stuffed
    assert cobs_decoded(bytes.fromhex(stuffed)).hex() == plain


@given(st.binary(max_size=1200) | st.lists(st.sampled_from([bytes(1), b"x" * 253, b"x" * 254, b"y"])).map(b"".join))
def test_cobs_has_no_zero_and_comes_back(data: bytes) -> None:
    assert 0 not in cobs_encoded(data)
    assert cobs_decoded(cobs_encoded(data)) == data


@given(SEQS, MESSAGES)
def test_a_message_comes_back(seq: int, message: LinkMessage) -> None:
    assert Decoder().feed(encode(seq, message)) == [Frame(seq, message)]


@given(st.lists(st.tuples(SEQS, MESSAGES, GARBAGE), max_size=5), st.randoms(use_true_random=False))
def test_frames_come_through_garbage_in_any_pieces(drawn: list[tuple[int, LinkMessage, bytes]], random: object) -> None:
    from random import Random

    assert isinstance(random, Random)
    stream = b"".join(garbage + b"\0" + encode(seq, message) for seq, message, garbage in drawn)
    decoder, received = Decoder(), []
    while stream:
        size = random.randint(1, 40)
        received += decoder.feed(stream[:size])
        stream = stream[size:]
    assert [frame for frame in received if isinstance(frame, Frame)] == [Frame(seq, told) for seq, told, _ in drawn]


@given(SEQS, MESSAGES, st.data())
def test_no_frame_with_one_byte_changed_is_taken(seq: int, message: LinkMessage, data: st.DataObject) -> None:
    wire = bytearray(encode(seq, message))
    at = data.draw(st.integers(0, len(wire) - 2))
    wire[at] ^= data.draw(st.integers(1, 255))
    received = Decoder().feed(bytes(wire))
    assert received
    assert all(isinstance(frame, BadFrame) for frame in received)


@given(st.binary(max_size=400))
def test_garbage_raises_nothing(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(data + b"\0")
    assert decoder.feed(encode(1, Hello())) == [Frame(1, Hello())]


def test_a_frame_longer_than_any_is_dropped_and_takes_no_more_room() -> None:
    decoder = Decoder()
    for _ in range(40):
        assert decoder.feed(b"x" * 0x2000) == []
    assert len(decoder._held) < LONGEST_BODY * 1.01
    [bad] = decoder.feed(b"\0")
    assert isinstance(bad, BadFrame)
    assert bad.reason == "longer than any frame"
    assert len(bad.data) == 100
    assert decoder.feed(encode(1, Hello())) == [Frame(1, Hello())]


def sealed(body: bytes) -> bytes:
    return cobs_encoded(body + crc16(body).to_bytes(2, "little")) + b"\0"


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (cobs_encoded(b"\x01\x02\x03") + b"\0", "3 bytes are too short for a frame"),
        (cobs_encoded(b"\x01\x01\0\0") + b"\0", "wrong CRC"),
        (sealed(b"\x01\x33"), "no message is of kind 0x33"),
        (sealed(b"\x01\x01\x00"), "Hello: expected end of stream"),
        (sealed(b"\x01\x03\x07"), "Power: parsing failed, no decoding mapping for 7"),
        (sealed(b"\x01\x87\x00\xff"), "SelfTestAnswer: "),
        (b"\x05a\0", "the zeros are not where they are said to be"),
    ],
)
def test_what_is_wrong_with_a_bad_frame_is_told(wire: bytes, reason: str) -> None:
    [bad] = Decoder().feed(wire)
    assert isinstance(bad, BadFrame)
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize(
    ("seq", "message", "told"),
    [
        (256, Hello(), "Hello with seq 256: bytes must be in range"),
        (1, Transact(b"abc", Shape.READ), "Transact with seq 1: "),
        (1, Done(None, -1, 0, b""), "Done with seq 1: "),
        (1, SelfTestAnswer(300, ""), "SelfTestAnswer with seq 1: "),
        (1, Done(None, 0, 0, bytes(0x10100)), "Done: 65811 bytes are too long for a frame"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(seq: int, message: LinkMessage, told: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode(seq, message)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_cobs_data_with_a_zero_are_refused() -> None:
    for data in (b"\x00", b"\x03a\x00", b"\x03a"):
        with pytest.raises(DecodeError):
            cobs_decoded(data)


def test_every_request_has_an_answer_and_every_field_a_description() -> None:
    requests = [kind for kind in KINDS if kind < 0x40]
    assert {kind | ANSWER_BIT for kind in requests} | {*requests, *range(0x40, 0x45), Refusal.kind} == set(KINDS)
    assert not Transact.repeatable
    assert {KINDS[kind] for kind in requests if KINDS[kind].repeatable} >= {Hello, Power, Counters}
    assert all(part.doc and part.wire for kind in KINDS.values() for part in fields_of(kind).values())
    assert all(kind.__doc__ for kind in KINDS.values())


def test_counters_by_name() -> None:
    wanted = {"bad_frames": 1, "lens_breaks": 2, "polls": 3, "late_frames": 4, "dropped": 5}
    assert CountersAnswer(0, 1, 2, 3, 4, 5).counters == wanted
    assert Heartbeat(0, 9, 1, 2, 3, 4, 5).counters == wanted
    assert Done(Break.SILENT, 0, 0, b"").broke_off is Break.SILENT
