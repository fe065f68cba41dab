"""The message tables as data, taken from their own index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m43proto.catalogue import Catalogue
from m43proto.checksum import wire_sum
from m43proto.errors import DeclarationError, DecodeError
from m43proto.evidence import Evidence, cited_sources
from m43proto.messages import PROVISIONAL, PUBLIC, Drive, Identify, Status
from m43proto.schema import Message

ALL = tuple(PUBLIC | PROVISIONAL)
SPECS = Path(__file__).parents[1] / "specs"

COMMANDS = {
    "Initialise": "B0 F2",
    "InitialiseF0": "B0 F0",
    "LinkCapability": "C0 F6",
    "SelectLinkMode": "A0 F5",
    "Identify": "C1 F9",
    "BodyCapability": "60 F0",
    "Status": "C1 80",
    "SetFocusRing": "A0 B0",
    "EnableDrive": "B1 88",
    "Drive": "60 80",
    "ReadLensData": "C3 F0",
    "ReadC2F3": "C2 F3",
    "ReadCFF3": "CF F3",
}

every_message = pytest.mark.parametrize("kind", ALL, ids=[kind.spec.name for kind in ALL])


def test_every_public_command_is_declared_under_its_name() -> None:
    assert {kind.spec.name: kind.spec.opcode.hex(" ").upper() for kind in PUBLIC} == COMMANDS


@every_message
@given(data=st.data())
def test_any_bytes_of_the_right_length_survive(kind: type[Message], data: st.DataObject) -> None:
    size = kind.spec.size
    least, most = (2, 300) if size is None else (size, size)
    wire = data.draw(st.binary(min_size=least, max_size=most))
    parsed = kind.parse(wire)
    assert repr(parsed) == repr(kind.parse_by_construct(wire))
    assert parsed.build() == wire
    assert parsed.command == kind.spec.opcode + wire[:2]


@every_message
@given(wire=st.binary(max_size=60))
def test_any_bytes_give_a_message_or_a_decode_error(kind: type[Message], wire: bytes) -> None:
    if len(wire) == kind.spec.size or (kind.spec.size is None and len(wire) >= 2):
        assert kind.parse(wire).build() == wire
        return
    with pytest.raises(DecodeError) as refused:
        kind.parse(wire)
    assert refused.value.data == wire


@every_message
@given(
    arguments=st.binary(min_size=2, max_size=2), block=st.binary(max_size=60), status=st.none() | st.integers(0, 255)
)
def test_a_reading_drops_nothing(kind: type[Message], arguments: bytes, block: bytes, status: int | None) -> None:
    reading = kind.spec.read(arguments, block, status)
    covered = len(block) - len(reading.rest)
    assert block[covered:] == reading.rest
    assert set(reading.values) <= {field.name for field in kind.spec.fields}


@every_message
def test_every_message_cites_known_sources_and_an_existing_section(kind: type[Message]) -> None:
    spec = kind.spec
    assert cited_sources(spec.source)
    chapter = next(SPECS.glob(f"{spec.section[0]}-*.md")).read_text(encoding="utf-8")
    assert re.search(rf"^#+ {re.escape(spec.section)} {spec.name}$", chapter, re.MULTILINE)
    for field in spec.fields:
        assert cited_sources(field.source)
        assert field.doc


@every_message
def test_a_field_is_never_surer_than_this(kind: type[Message]) -> None:
    """Provisional messages hold only provisional fields, and public ones none."""
    levels = {field.evidence for field in kind.spec.fields}
    if kind in PROVISIONAL.messages:
        assert levels == {Evidence.PROVISIONAL}
    else:
        assert Evidence.PROVISIONAL not in levels


@every_message
def test_a_unit_stands_at_the_end_of_the_name(kind: type[Message]) -> None:
    suffixes = {"f": "_f", "m": "_m", "mm": "_mm", "°": "_deg", "step": "_step", "count": "", "": ""}
    for field in kind.spec.fields:
        assert field.name.endswith(suffixes[field.unit])


@pytest.mark.parametrize(
    ("wire", "name", "values"),
    [
        (
            "c1f90000 00000110000041414132343338343100000001 11",
            "Identify",
            {"serial": "AAA243841", "firmware": "1.101"},
        ),
        ("6080fe02 01ca0400000000 0000", "Drive", {"aperture_operation": "set", "focus_operation": "leave"}),
        ("608003fe 0100000000d7ff0100", "Drive", {"focus_operation": "move", "focus_target": -41}),
        ("608003fe 01000000004e020000", "Drive", {"focus_target": 590}),
        ("608004fe 0100000000ff7f0500", "Drive", {"focus_operation": "scan", "focus_target": 32767}),
        ("608006fe 010000000000000000", "Drive", {"focus_operation": "setup"}),
        ("a0b0fe01", "SetFocusRing", {"ring_direction": "reverse"}),
        ("b1880302 00", "EnableDrive", {"focus_operation": "move", "aperture_operation": "set"}),
    ],
)
def test_recorded_bytes_decode_to_what_their_sources_say(wire: str, name: str, values: dict[str, object]) -> None:
    data = bytes.fromhex(wire)
    kind = PUBLIC.find(data)
    assert kind is not None
    assert kind.spec.name == name
    parsed = kind.parse(data[2:])
    assert parsed == kind.parse_by_construct(data[2:])
    assert {key: parsed.values[key] for key in values} == values


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("b0f20000", 0xA2),
        ("c0f60000", 0xB6),
        ("a0f50100", 0x96),
        ("c1f90000", 0xBA),
        ("60f00000", 0x50),
        ("", 0),
        ("0a10c409", 0xE7),
    ],
)
def test_sums_equal_those_on_record(data: str, expected: int) -> None:
    assert wire_sum(bytes.fromhex(data)) == expected


def test_catalogues_combine_as_values_and_later_ones_win() -> None:
    from m43proto import argument, message, raw, wire

    @message("C1 80", evidence="confirmed", source="test")
    class MyStatus(Message):
        """Another reading of the same command."""

        arguments: bytes = argument(raw(2), "two bytes", default=bytes(2))
        everything: bytes = wire(raw(30), "the block")

    mine = Catalogue("mine", [MyStatus])
    both = PUBLIC | PROVISIONAL | mine
    assert both.find(b"\xc1\x80\x01\x06") is MyStatus
    assert both.named("Status") is None
    assert (PUBLIC | mine | PUBLIC).find(b"\xc1\x80") is Status
    assert PUBLIC.find(b"\xc1\x80") is Status
    assert len(both) == len(PUBLIC) + len(PROVISIONAL)
    assert both.name == "public | provisional | mine"
    with pytest.raises(TypeError):
        PUBLIC | 3  # type: ignore[operator]  # that is the point


def test_a_catalogue_tells_the_shape_of_unknown_commands_by_their_nibble() -> None:
    assert PUBLIC.shape_of(b"\xc7\x77") == "read"
    assert PUBLIC.shape_of(b"\x10\x00") is None
    assert PUBLIC.shape_of(b"\x60\x80") == "write"


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([Drive, Identify, Drive], "Drive and Drive both have opcode 60 80"),
        ([Drive, int], "is not a class declared with @message"),
        ([Message], "is not a class declared with @message"),
    ],
)
def test_a_catalogue_refuses_conflicts(messages: list[type[Message]], text: str) -> None:
    with pytest.raises(DeclarationError, match=text):
        Catalogue("odd", messages)


def test_two_messages_of_one_name_are_a_conflict() -> None:
    from m43proto import argument, message, raw

    @message("A0 01", evidence="unknown", source="test")
    class Status(Message):
        """Takes a name that is taken."""

        arguments: bytes = argument(raw(2), "two bytes")

    with pytest.raises(DeclarationError, match="two messages are called Status: C1 80 and A0 01"):
        PUBLIC | Catalogue("mine", [Status])
