"""What construct does for fields; imported when the first message is parsed or built, for construct loads slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import construct
from construct import Adapter, Bytes, ConstructError, FormatField, GreedyBytes, SizeofError

from m43proto.wires import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from construct import Construct

__all__ = ["ConstructError", "in_units", "layout_of", "size_of", "struct_of"]


class _Unit(Adapter):  # type: ignore[type-arg]  # generic in the stubs only
    """A construct adapter made of two functions."""

    def __init__(self, subcon: Any, decode: Callable[[Any], Any], encode: Callable[[Any], Any]) -> None:
        super().__init__(subcon)
        self._decode_value = decode
        self._encode_value = encode

    def _decode(self, obj: Any, context: object, path: object) -> Any:
        return self._decode_value(obj)

    def _encode(self, obj: Any, context: object, path: object) -> Any:
        return self._encode_value(obj)


def layout_of(wire: Wire | Construct[Any, Any]) -> Construct[Any, Any]:
    """Return the construct layout of a wire value."""
    if not isinstance(wire, Wire):
        return wire
    if wire.code:
        return FormatField(wire.code[0], wire.code[1:])
    return GreedyBytes if wire.size is None else Bytes(wire.size)


def in_units(
    wire: Wire | Construct[Any, Any], decode: Callable[[Any], Any], encode: Callable[[Any], Any]
) -> Construct[Any, Any]:
    """Return the construct layout that parses to and builds from values in units."""
    return _Unit(layout_of(wire), decode, encode)


def size_of(layout: Construct[Any, Any]) -> int | None:
    """Return the bytes of a layout, or None for an open end."""
    try:
        return layout.sizeof()
    except SizeofError:
        return None


def struct_of(fields: Iterable[tuple[str, str, Construct[Any, Any]]]) -> Construct[Any, Any]:
    """Return the layout of fields, each a name, what it is, and a layout, with nothing behind them."""
    named = [construct.Renamed(layout, newname=name, newdocs=doc) for name, doc, layout in fields]
    return construct.Struct(*named, construct.Terminated)
