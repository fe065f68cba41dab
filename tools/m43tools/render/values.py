"""The decoded values of a message -> words for a person."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from m43proto.evidence import Evidence
from m43proto.schema import Part
from m43tools.render.records import IDENTITY, lens_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen
    from m43proto.schema import Field
    from m43tools.render.glyphs import Glyphs

__all__ = ["UNIT_WORDS", "decoded", "hex_text", "label", "printable", "quantity"]

UNIT_WORDS = frozenset({"f", "m", "mm", "um", "deg", "degc", "s", "ms", "us", "ns", "hz", "v", "a"})

_QUANTITIES: dict[str, Callable[[float, Glyphs], str]] = {
    "f": lambda f_number, _: f"f/{f_number:.2f}",
    "m": lambda distance_m, _: f"{distance_m:.3f} m",
    "mm": lambda focal_mm, _: f"{focal_mm:g} mm",
    "°": lambda angle_deg, glyphs: f"{angle_deg:+.3f}{glyphs.degree}",
    "count": lambda count, _: str(count),
    "step": lambda step, _: str(step),
}


def decoded(event: MessageSeen, glyphs: Glyphs, *, raw: bool) -> list[str]:
    """Return what a message says, value by value; each carries its mark where it is less sure than the message.

    Args:
        event: the message.
        glyphs: the signs to use.
        raw: whether to show arguments at their defaults and bytes that nobody understands, too.
    """
    block = _block(event, glyphs)
    if event.kind is None:
        return [f"{hex_text(event.transaction.command)} {block}".rstrip()]
    lens = lens_name(event)
    shown = [
        _field(field, event, glyphs)
        for field in event.kind.spec.fields
        if _shows(field, event, raw=raw) and not (lens and field.name in IDENTITY)
    ]
    parts = [*_identity(event, lens, glyphs), *shown, *_extras(event)]
    return parts or [block]


def hex_text(data: bytes) -> str:
    """Return bytes as a person reads them: ``C1 80 01 06``."""
    return data.hex(" ").upper()


def _identity(event: MessageSeen, lens: object, glyphs: Glyphs) -> list[str]:
    identity = " ".join(str(event.values[key]) for key in IDENTITY if key in event.values)
    return [f"{lens} ({identity}){glyphs.marks[Evidence.INFERRED]}"] if lens else []


def _extras(event: MessageSeen) -> list[str]:
    busy_ns = event.transaction.busy_ns
    rest = [f"{len(event.rest)} bytes more: {hex_text(event.rest)}"] if event.rest else []
    return rest if busy_ns is None else [*rest, f"busy {busy_ns / 1e6:.1f} ms"]


def _block(event: MessageSeen, glyphs: Glyphs) -> str:
    data = event.transaction.data
    return f"[{hex_text(data)}]{glyphs.marks[Evidence.UNKNOWN]}" if data else ""


def _shows(field: Field, event: MessageSeen, *, raw: bool) -> bool:
    if field.name not in event.values:
        return False
    if raw:
        return True
    told = field.part is not Part.ARGUMENT or event.values[field.name] != field.default
    return told and field.evidence is not Evidence.UNKNOWN and field.matters(event.values)


def _field(field: Field, event: MessageSeen, glyphs: Glyphs) -> str:
    mark = "" if field.evidence is event.evidence else glyphs.marks[field.evidence]
    return f"{label(field)} {printable(quantity(event.values[field.name], field.unit, glyphs))}{mark}"


def quantity(value: Any, unit: str, glyphs: Glyphs) -> str:
    """Return a value with its unit, in words."""
    if isinstance(value, bytes):
        return hex_text(value)
    if isinstance(value, float) and math.isinf(value):
        return glyphs.infinity
    if isinstance(value, int | float) and unit in _QUANTITIES:
        return _QUANTITIES[unit](value, glyphs)
    return f"{value} {unit}".strip()


def label(field: Field) -> str:
    """Return a field's name in words, without the unit at its end."""
    words = field.name.split("_")
    return " ".join(words[:-1] if field.unit and words[-1] in UNIT_WORDS else words)


def printable(text: str) -> str:
    """Return the text with every character escaped that could upset a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
