"""Wire integers and units: one `Encoding` per quantity (specs/5-messages.md §5.9).

Every encoding is lossless: any wire value decodes, and encodes back to the same bytes. Values that a caller gives in
units are rounded here and nowhere else, by one rule: to the nearest wire step, halves up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from m43proto.errors import EncodeError
from m43proto.records import record
from m43proto.wires import REST, S16, U8, U16, Wire, octets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from construct import Construct

__all__ = [
    "ANGLE",
    "AV_STEPS",
    "DISTANCE",
    "DISTANCE_STEPS_PER_M",
    "FIRMWARE",
    "FOCAL_LENGTH",
    "FOCUS_POSITION",
    "F_NUMBER",
    "HEX_CODE",
    "INFINITY_WORD",
    "MAKER",
    "SERIAL",
    "ZOOM_STEP",
    "Encoding",
    "choice",
    "f_number_of",
    "nearest",
    "plain",
    "raw",
]

AV_STEPS = 256
"""Steps of an aperture word per unit of Av (APEX): f = 2 ** (word / 512)."""

DISTANCE_STEPS_PER_M = 200
"""Counts of a focus distance per metre: 5 mm each."""

INFINITY_WORD = 0xFFFF
"""The focus distance that means infinity."""


@record(frozen=True, slots=True)
class Encoding:
    """How a quantity stands on the wire.

    Attributes:
        name: what quantity it is.
        wire: how the wire value stands in bytes, or any construct layout of it.
        size: bytes on the wire, or None for an open end.
        unit: the unit of the decoded value (``"f"``, ``"m"``, ``"mm"``, ``"°"``, ``"count"``), or an empty string.
        formula: the rule in words, for the written spec.
        decode: wire value -> value in units.
        encode: value in units -> wire value; raises `EncodeError` for a value that the wire cannot hold.
        labels: words for known values, in wire order, for encodings made by `choice`.
        wire_unit: what the wire integer counts, as the end of a name in code without floating point (``"m_x200"``: 200
            of them are a metre), where a mere division of the value does not tell.
    """

    name: str
    wire: Wire | Construct[Any, Any]
    size: int | None
    unit: str
    formula: str
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any]
    labels: Mapping[int, str] | None = None
    wire_unit: str = ""

    @property
    def wire_layout(self) -> Construct[Any, Any]:
        """The construct layout of the wire value."""
        from m43proto.layouts import layout_of  # Loads construct, which who decodes in bulk does without.

        return layout_of(self.wire)

    @property
    def layout(self) -> Construct[Any, Any]:
        """The construct layout that parses to and builds from values in units."""
        from m43proto.layouts import in_units

        return in_units(self.wire, self.decode, self.encode)


def nearest(value: float) -> int:
    """Round to the nearest integer, halves up: the project's only rounding rule."""
    return math.floor(value + 0.5)


def _in_range(quantity: str, given: object, wire: float, low: int, high: int) -> int:
    if not math.isfinite(wire) or not low <= nearest(wire) <= high:
        raise EncodeError(f"{quantity} {given} does not fit the wire ({low} to {high})")
    return nearest(wire)


def _integer(quantity: str, low: int, high: int) -> Callable[[Any], int]:
    def encode(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise EncodeError(f"{quantity} must be an integer, not {value!r}")
        return _in_range(quantity, value, value, low, high)

    return encode


def _same(value: Any) -> Any:
    return value


def f_number_of(av_word: int) -> float:
    """Return the f-number of an aperture word (Av x 256)."""
    return math.exp2(av_word / (2 * AV_STEPS))


def _encode_f_number(f_number: float) -> int:
    if not f_number > 0:
        raise EncodeError(f"f-number {f_number} must be above 0")
    return _in_range("f-number", f_number, 2 * AV_STEPS * math.log2(f_number), 0, 0xFFFF)


def _decode_distance(word: int) -> float:
    return math.inf if word == INFINITY_WORD else word / DISTANCE_STEPS_PER_M


def _encode_distance(distance_m: float) -> int:
    if distance_m == math.inf:
        return INFINITY_WORD
    return _in_range("focus distance in m", distance_m, distance_m * DISTANCE_STEPS_PER_M, 0, INFINITY_WORD - 1)


def _encode_hex_code(code: str) -> int:
    if len(code) != 2 or any(digit not in "0123456789abcdef" for digit in code):
        raise EncodeError(f"code {code!r} must be two hexadecimal digits in lower case")
    return int(code, 16)


_SERIAL_SIZE = 12


def _decode_serial(field: bytes) -> str:
    return field.rstrip(b"\0").decode("latin-1")


def _encode_serial(serial: str) -> bytes:
    try:
        field = serial.encode("latin-1")
    except UnicodeEncodeError:
        raise EncodeError(f"serial number {serial!r} has a character that no byte stands for") from None
    if len(field) > _SERIAL_SIZE or field.endswith(b"\0"):
        raise EncodeError(f"serial number {serial!r} must be at most {_SERIAL_SIZE} characters without a final NUL")
    return field.ljust(_SERIAL_SIZE, b"\0")


def _decode_firmware(word: int) -> str:
    return f"{word >> 12:x}.{word & 0xFFF:03x}"


def _encode_firmware(version: str) -> int:
    major, _, minor = version.partition(".")
    if len(major) != 1 or len(minor) != 3 or any(digit not in "0123456789abcdef" for digit in major + minor):
        raise EncodeError(f"firmware version {version!r} must look like 1.101")
    return int(major + minor, 16)


def choice(name: str, labels: Mapping[int, str]) -> Encoding:
    """Return the encoding of one byte whose known values have words; an unknown value stays an integer.

    Raises:
        EncodeError: (on encoding) the word is not in `labels`, or the integer does not fit a byte.
    """
    words = {word: value for value, word in labels.items()}
    as_byte = _integer(name, 0, 0xFF)

    def decode(value: int) -> int | str:
        return labels.get(value, value)

    def encode(value: int | str) -> int:
        if not isinstance(value, str):
            return as_byte(value)
        if value not in words:
            raise EncodeError(f"{name} {value!r} is none of {', '.join(words)}")
        return words[value]

    formula = ", ".join(f"{value:02X} = {word}" for value, word in labels.items())
    return Encoding(name, U8, 1, "", formula, decode, encode, labels)


def raw(size: int | None) -> Encoding:
    """Return the encoding of `size` bytes that stay bytes, because nobody knows what they mean; None takes all."""

    def encode(value: bytes) -> bytes:
        if len(value) != size:
            raise EncodeError(f"raw bytes {value!r} must be exactly {size} bytes")
        return value

    if size is None:
        return Encoding("raw bytes", REST, None, "", "as on the wire", _same, _same)
    return Encoding("raw bytes", octets(size), size, "", "as on the wire", _same, encode)


def plain(layout: Construct[Any, Any]) -> Encoding:
    """Return the encoding of a bare construct layout: its value as construct gives it."""
    from m43proto.layouts import size_of

    return Encoding(str(layout), layout, size_of(layout), "", "as on the wire", _same, _same)


F_NUMBER = Encoding(
    "aperture",
    U16,
    2,
    "f",
    "Av × 256; f = 2^(word / 512)",
    f_number_of,
    _encode_f_number,
    wire_unit=f"av_x{AV_STEPS}",
)
DISTANCE = Encoding(
    "focus distance",
    U16,
    2,
    "m",
    "5 mm per count; FFFF = infinity",
    _decode_distance,
    _encode_distance,
    wire_unit=f"m_x{DISTANCE_STEPS_PER_M}",
)
FOCUS_POSITION = Encoding(
    "focus position",
    S16,
    2,
    "count",
    "signed; the scale differs per lens",
    _same,
    _integer("focus position", -0x8000, 0x7FFF),
)
ZOOM_STEP = Encoding("zoom step", U8, 1, "step", "0 = wide; not linear", _same, _integer("zoom step", 0, 0xFF))
MAKER = Encoding("maker", U16, 2, "", "number of the lens maker", _same, _integer("maker", 0, 0xFFFF))
HEX_CODE = Encoding("code", U8, 1, "", "two BCD digits, read as text", "{:02x}".format, _encode_hex_code)
SERIAL = Encoding(
    "serial number",
    octets(_SERIAL_SIZE),
    _SERIAL_SIZE,
    "",
    "characters, padded with NUL",
    _decode_serial,
    _encode_serial,
)
FIRMWARE = Encoding("firmware version", U16, 2, "", "0x1101 = 1.101", _decode_firmware, _encode_firmware)
FOCAL_LENGTH = Encoding(
    "focal length",
    U16,
    2,
    "mm",
    "0.1 mm per count",
    lambda word: word / 10,
    lambda focal_mm: _in_range("focal length in mm", focal_mm, focal_mm * 10, 0, 0xFFFF),
)
ANGLE = Encoding(
    "angle",
    S16,
    2,
    "°",
    "0.001° per count, signed",
    lambda word: word / 1000,
    lambda angle_deg: _in_range("angle in degrees", angle_deg, angle_deg * 1000, -0x8000, 0x7FFF),
)
