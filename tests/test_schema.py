from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any, cast

import construct
import pytest

from m43proto.encodings import DISTANCE, raw
from m43proto.errors import DeclarationError, DecodeError, EncodeError, M43Error
from m43proto.evidence import Evidence
from m43proto.messages import Drive, Identify, Initialise, ReadLensData, SetFocusRing, Status
from m43proto.pins import Role
from m43proto.schema import Message, Part, argument, message, status, wire
from m43proto.shapes import Shape

STATUS_BYTES = bytes.fromhex("0102 c2e10000 00 0c 4200 b103 000c 0c00 d2002f018c01ea014702a4025c034e02")


def test_a_message_parses_into_units() -> None:
    parsed = Status.parse(STATUS_BYTES)
    assert (parsed.focus_distance_m, parsed.focus_position, parsed.zoom_step) == (0.33, 12, 0)
    assert parsed.aperture_f == pytest.approx(3.594, abs=0.001)
    assert parsed.format == b"\x02"


def test_a_message_builds_its_parts() -> None:
    drive = Drive(aperture_operation="set", aperture_f=5.6)
    assert drive.command == bytes.fromhex("6080fe02")
    assert drive.block == bytes.fromhex("01 f904 0000 0000 0000")
    assert drive.build() == bytes.fromhex("fe02 01 f904 0000 0000 0000")
    assert Initialise(result=b"\x07").build() == bytes.fromhex("000007")


def test_a_message_is_frozen_and_takes_keywords_only() -> None:
    drive = Drive()
    with pytest.raises(FrozenInstanceError):
        drive.focus_target = 3  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        Drive("move")  # type: ignore[call-arg]  # that is the point


def test_a_request_fills_the_arguments_with_their_defaults() -> None:
    assert Status.request() == bytes.fromhex("c1800106")
    assert Status.request(format=b"\x02") == bytes.fromhex("c1800102")
    assert Identify.request() == bytes.fromhex("c1f90000")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Status.request(colour=1), "Status has no argument 'colour'; it has: argument_2, format"),
        (lambda: SetFocusRing.request(), "SetFocusRing needs a value for 'ring_direction'"),
        (lambda: SetFocusRing.request(ring_direction="up"), "is none of forward, reverse"),
        (lambda: Drive(aperture_f=-1.0).build(), "must be above 0"),
        (lambda: Drive(unknown_0=cast("bytes", "x")).build(), "Drive"),
        (lambda: Drive(unknown_0=cast("bytes", 3)).build(), "Drive: a value of the wrong type"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(make: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        make()


def test_construct_errors_do_not_leave_the_room() -> None:
    @message("C0 01", evidence="unknown", source="test")
    class Picky(Message):
        """Wants a constant."""

        arguments: bytes = argument(construct.Bytes(2), "two bytes", default=bytes(2))
        magic: int = wire(construct.Const(7, construct.Int8ul), "must be 7")

    assert Picky.parse(b"\0\0\x07").magic == 7
    with pytest.raises(DecodeError, match=r"Picky: .*parsing expected 7") as refused:
        Picky.parse(b"\0\0\x08")
    assert refused.value.data == b"\x08"
    with pytest.raises(EncodeError, match="Picky"):
        Picky(magic=8).build()


def test_a_wrong_size_is_a_decode_error_with_its_section() -> None:
    with pytest.raises(DecodeError, match="Status takes 32 bytes, not 31") as refused:
        Status.parse(STATUS_BYTES[:-1])
    assert (refused.value.data, refused.value.section) == (STATUS_BYTES[:-1], "5.4.1")
    with pytest.raises(DecodeError, match="at least 2 bytes"):
        ReadLensData.parse(b"\0")
    assert issubclass(DecodeError, ValueError)
    assert issubclass(DecodeError, M43Error)


def test_a_block_with_an_open_end_takes_any_length() -> None:
    assert ReadLensData.parse(bytes(2)).unknown_0 == b""
    assert ReadLensData.parse(bytes(2) + b"abc").unknown_0 == b"abc"
    assert ReadLensData.spec.size is None


def test_a_reading_takes_what_is_there_and_keeps_the_rest() -> None:
    arguments, block = STATUS_BYTES[:2], STATUS_BYTES[2:]
    whole = Status.spec.read(arguments, block)
    assert whole.values == Status.parse(STATUS_BYTES).values
    assert whole.rest == b""
    for size in range(len(block) + 1):
        partial = Status.spec.read(arguments, block[:size])
        covered = sum(
            field.encoding.size or 0 for field in Status.spec.part(Part.BLOCK) if field.name in partial.values
        )
        assert block[:covered] + partial.rest == block[:size]
    assert Status.spec.read(arguments, block + b"more").rest == b"more"


def test_a_reading_of_a_status_byte() -> None:
    assert Initialise.spec.read(bytes(2), b"", 5).values["result"] == b"\x05"
    assert "result" not in Initialise.spec.read(bytes(2)).values


def test_the_declaration_is_data() -> None:
    spec = Status.spec
    assert (spec.opcode, spec.shape, spec.block_sender, spec.evidence) == (
        b"\xc1\x80",
        Shape.READ,
        Role.LENS,
        Evidence.CONFIRMED,
    )
    distance = next(field for field in spec.fields if field.name == "focus_distance_m")
    assert (distance.offset, distance.encoding, distance.unit) == (6, DISTANCE, "m")
    assert spec.doc.startswith("Polls the lens")


def test_a_field_can_depend_on_another() -> None:
    aperture = next(field for field in Drive.spec.fields if field.name == "aperture_f")
    assert aperture.matters({"aperture_operation": "set"})
    assert not aperture.matters({"aperture_operation": "leave"})


def declare(opcode: Any = "C0 01", *, shape: str | None = None, source: str = "test", **fields: Any) -> type[Message]:
    names = dict.fromkeys(fields, Any)
    body = {"__doc__": "A test.", "__annotations__": names, "__module__": __name__, **fields}
    return message(opcode, evidence="unknown", source=source, shape=shape)(type("Broken", (Message,), body))


TWO = raw(2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: declare("C0", a=argument(TWO, "")), "must be two bytes"),
        (lambda: declare("zz", a=argument(TWO, "")), "Broken"),
        (lambda: declare("10 01", a=argument(TWO, "")), "first nibble 1 announces no known shape; give shape="),
        (lambda: declare("C0 01", shape="write", a=argument(TWO, "")), "announces shape read, not write"),
        (lambda: declare("C0 01", shape="odd", a=argument(TWO, "")), "'odd'"),
        (lambda: declare(source=" ", a=argument(TWO, "")), "must name a source"),
        (lambda: declare(a=argument(raw(1), "")), "must cover exactly 2 bytes"),
        (lambda: declare(a=argument(construct.GreedyBytes, "")), "must cover exactly 2 bytes"),
        (lambda: declare("A0 01", a=argument(TWO, ""), b=wire(TWO, "")), "has no block"),
        (lambda: declare("B0 01", a=argument(TWO, "")), "takes one status"),
        (lambda: declare("C0 01", a=argument(TWO, ""), b=status(raw(1), "")), "takes no status"),
        (lambda: declare(a=argument(TWO, ""), b=wire(construct.GreedyBytes, ""), c=wire(TWO, "")), "open end"),
        (lambda: declare(a=argument(TWO, ""), block=wire(TWO, "")), "'block' is taken"),
        (lambda: declare(a=argument(TWO, ""), rest=wire(TWO, "")), "'rest' is taken"),
        (lambda: declare(a=argument(TWO, ""), b=3), "'b' is not declared by"),
        (lambda: declare(a=argument(TWO, "", only_if=("zoom", (1,)))), "only_if names a field 'zoom'"),
        (lambda: declare(a=argument(TWO, "", evidence="rumour")), "rumour"),
        (lambda: message("C0 01", evidence="rumour", source="x")(type("Broken", (Message,), {})), "rumour"),
        (lambda: message("C0 01", evidence="unknown", source="x")(type("Broken", (), {})), "must derive from"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_by_name(make: Any, text: str) -> None:
    with pytest.raises(DeclarationError, match=text) as refused:
        make()
    assert str(refused.value).startswith("message Broken: ")


def test_a_shape_can_be_given_for_an_unknown_nibble() -> None:
    assert declare("10 01", shape="set", a=argument(TWO, "")).spec.shape is Shape.SET
