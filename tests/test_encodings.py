from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import construct
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m43proto import encodings, layouts
from m43proto.encodings import (
    ANGLE,
    DISTANCE,
    F_NUMBER,
    FIRMWARE,
    FOCAL_LENGTH,
    FOCUS_POSITION,
    HEX_CODE,
    SERIAL,
    Encoding,
    choice,
    nearest,
    raw,
)
from m43proto.errors import EncodeError
from m43proto.wires import REST, S16, U8, U16, Wire, octets

NAMED = {name: value for name in encodings.__all__ if isinstance(value := getattr(encodings, name), Encoding)}
SAMPLES = {**NAMED, "choice": choice("mode", {0: "off", 5: "on"}), "raw": raw(3)}


@pytest.mark.parametrize("encoding", SAMPLES.values(), ids=SAMPLES)
@given(data=st.data())
def test_every_wire_value_decodes_and_encodes_back(encoding: Encoding, data: st.DataObject) -> None:
    assert encoding.size is not None
    wire = data.draw(st.binary(min_size=encoding.size, max_size=encoding.size))
    assert encoding.layout.build(encoding.layout.parse(wire)) == wire


def test_every_aperture_word_survives_its_f_number() -> None:
    assert [F_NUMBER.encode(F_NUMBER.decode(word)) for word in range(0x10000)] == list(range(0x10000))


@pytest.mark.parametrize(
    ("word", "f_number"),
    [(434, 1.8), (925, 3.5), (1273, 5.6), (2304, 22.6), (945, 3.594), (0, 1.0)],
)
def test_aperture_words_mean_the_nominal_f_numbers(word: int, f_number: float) -> None:
    assert F_NUMBER.decode(word) == pytest.approx(f_number, rel=0.002)


@pytest.mark.parametrize(
    ("word", "distance_m"), [(66, 0.33), (98, 0.49), (0, 0.0), (0xFFFE, 327.67), (0xFFFF, math.inf)]
)
def test_focus_distances_count_five_millimetres(word: int, distance_m: float) -> None:
    assert DISTANCE.decode(word) == distance_m
    assert DISTANCE.encode(distance_m) == word


@pytest.mark.parametrize(("value", "rounded"), [(0.5, 1), (1.5, 2), (-0.5, 0), (2.4999, 2), (-1.6, -2)])
def test_rounding_is_to_the_nearest_with_halves_up(value: float, rounded: int) -> None:
    assert nearest(value) == rounded


def test_firmware_reads_as_the_field_writes_it() -> None:
    assert FIRMWARE.decode(0x1101) == "1.101"
    assert FIRMWARE.encode("1.101") == 0x1101


def test_a_serial_number_is_padded_with_nul() -> None:
    assert SERIAL.encode("AAA243841") == b"AAA243841\0\0\0"
    assert SERIAL.decode(b"AAA243841\0\0\0") == "AAA243841"


def test_a_choice_gives_words_and_keeps_unknown_values() -> None:
    mode = choice("mode", {0: "off", 5: "on"})
    assert [mode.decode(value) for value in (0, 5, 7)] == ["off", "on", 7]
    assert [mode.encode(value) for value in ("off", "on", 7)] == [0, 5, 7]
    assert mode.formula == "00 = off, 05 = on"


@pytest.mark.parametrize(
    ("encoding", "value", "text"),
    [
        (F_NUMBER, 0, "f-number 0 must be above 0"),
        (F_NUMBER, -1, "must be above 0"),
        (F_NUMBER, math.nan, "must be above 0"),
        (F_NUMBER, 0.5, "does not fit the wire"),
        (F_NUMBER, math.inf, "does not fit the wire"),
        (DISTANCE, -0.1, "does not fit the wire"),
        (DISTANCE, 327.68, "does not fit the wire"),
        (DISTANCE, math.nan, "does not fit the wire"),
        (FOCUS_POSITION, 0x8000, "does not fit the wire"),
        (FOCUS_POSITION, 1.5, "must be an integer"),
        (FOCUS_POSITION, True, "must be an integer"),
        (FOCAL_LENGTH, 6553.6, "does not fit the wire"),
        (ANGLE, 33, "does not fit the wire"),
        (HEX_CODE, "1", "two hexadecimal digits"),
        (HEX_CODE, "AB", "lower case"),
        (SERIAL, "x" * 13, "at most 12"),
        (SERIAL, "x\0", "final NUL"),
        (SERIAL, "Ж", "no byte stands for"),
        (FIRMWARE, "1.1", "must look like 1.101"),
        (FIRMWARE, "g.101", "must look like 1.101"),
        (choice("mode", {0: "off"}), "on", "is none of off"),
        (choice("mode", {0: "off"}), 256, "does not fit the wire"),
        (raw(2), b"x", "exactly 2 bytes"),
    ],
)
def test_a_value_that_the_wire_cannot_hold_is_refused(encoding: Encoding, value: object, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        encoding.encode(value)


@pytest.mark.parametrize(
    ("wire", "layout", "data", "value"),
    [
        (U8, construct.Int8ul, b"\xfe", 254),
        (U16, construct.Int16ul, b"\xfe\xff", 65534),
        (S16, construct.Int16sl, b"\xfe\xff", -2),
        (octets(3), construct.Bytes(3), b"abc", b"abc"),
        (REST, construct.GreedyBytes, b"abcd", b"abcd"),
    ],
)
def test_a_wire_value_is_what_construct_makes_of_it(
    wire: Wire, layout: construct.Construct[Any, Any], data: bytes, value: object
) -> None:
    made = layouts.layout_of(wire)
    assert made.parse(data) == layout.parse(data) == value
    assert made.build(value) == layout.build(value) == data
    assert wire.size == layouts.size_of(made) == layouts.size_of(layout)
    assert layouts.layout_of(layout) is layout
    assert replace(FOCUS_POSITION, wire=wire).wire_layout.parse(data) == value


def test_construct_is_not_loaded_before_something_is_parsed() -> None:
    """It takes a fifth of a short run's time, and who decodes in bulk does without."""
    program = "import sys, m43proto; sys.exit('construct' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
