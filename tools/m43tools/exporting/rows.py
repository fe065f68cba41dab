"""Messages and encodings as source text of rows, and what an encoding does, found out by trying every wire value."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from m43proto import encodings

if TYPE_CHECKING:
    from collections.abc import Iterable

    import construct

    from m43proto.encodings import Encoding
    from m43proto.schema import Field, Message

__all__ = ["WireInteger", "divisor_of", "integer_of", "message_rows"]

_ORDERS = {"<": "little", ">": "big", "=": "little"}
_SIZES = {"b": 1, "h": 2, "l": 4, "i": 4, "q": 8}
_TRIED_SIZE = 2
"""Bytes up to which every wire value is tried."""


@dataclass(frozen=True, slots=True)
class WireInteger:
    """An integer on the wire: bytes, order of them, and whether it has a sign."""

    size: int
    order: str
    signed: bool

    def values(self) -> range:
        """Return every value that it can hold."""
        half = 1 << (8 * self.size - 1)
        return range(-half, half) if self.signed else range(2 * half)


def integer_of(layout: construct.Construct[Any, Any]) -> WireInteger | None:
    """Return what integer a construct layout is, or None when it is none."""
    text = getattr(layout, "fmtstr", "")
    if len(text) != 2 or text[1].lower() not in _SIZES:
        return None
    return WireInteger(_SIZES[text[1].lower()], _ORDERS[text[0]], text[1].islower())


def divisor_of(encoding: Encoding) -> int | None:
    """Return the integer by which an encoding divides every wire value (1: it leaves them as they are), or None."""
    integer = integer_of(encoding.wire_layout)
    if integer is None or integer.size > _TRIED_SIZE:
        return 1 if encoding.decode is encodings.plain(encoding.wire_layout).decode else None
    one = encoding.decode(1)
    if not isinstance(one, int | float) or not one or not math.isfinite(one) or one > 1:
        return None
    divisor = round(1 / one)
    exact = all(encoding.decode(value) == (value if divisor == 1 else value / divisor) for value in integer.values())
    return divisor if exact else None


def message_rows(kinds: Iterable[type[Message]]) -> str:
    """Return the rows of messages for ``tables.py`` of the engine that goes to other programs."""
    return "".join(_message_row(kind) for kind in kinds)


def _message_row(kind: type[Message]) -> str:
    spec = kind.spec
    fields = "".join(f"            {_field_row(field)},\n" for field in spec.fields)
    head = f"{spec.name!r}, {spec.opcode!r}, Shape.{spec.shape.name}, {spec.section!r}"
    told = f"{spec.doc!r}, Evidence.{spec.evidence.name}, {spec.source!r}"
    return f"    MessageSpec(\n        {head},\n        {told},\n        (\n{fields}        ),\n        {{}},\n    ),\n"


def _field_row(field: Field) -> str:
    values = (
        repr(field.name),
        f"Part.{field.part.name}",
        repr(field.offset),
        encoding_text(field.encoding),
        repr(field.unit),
        repr(field.doc),
        f"Evidence.{field.evidence.name}",
        repr(field.source),
        repr(field.only_if),
        "None" if field.default is dataclasses.MISSING else repr(field.default),
    )
    return f"Field({', '.join(values)})"


def encoding_text(encoding: Encoding) -> str:
    """Return an expression for an encoding: its name, or how to make it.

    One that a user declared, and that is neither a plain layout nor a division, is shown as it stands on the wire.
    """
    name = next((name for name, value in vars(encodings).items() if value is encoding), None)
    if name is not None:
        return name
    if encoding.labels is not None:
        return f"choice({encoding.name!r}, {dict(encoding.labels)!r})"
    if encoding.size is None:
        return "raw(None)"
    integer = integer_of(encoding.wire_layout)
    if integer is None:
        return f"raw({encoding.size})"
    layout = f"Integer({integer.size}, {integer.order!r}, signed={integer.signed})"
    divisor = divisor_of(encoding)
    return f"plain({layout})" if divisor in (1, None) else f"plain(Divided({layout}, {divisor}))"
