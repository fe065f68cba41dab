"""The messages of the link in a few microseconds instead of tens: `struct`, made of the same construct layouts.

A layout of plain numbers, tables of numbers and bytes, with at most one open end, becomes one `struct.Struct`. Whatever
is not that plain, and every value that does not fit, is left to construct, so its answers and errors are the only ones.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import construct

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["QuickLayout", "quick_layout"]


class _NotPlainError(Exception):
    """A field is not of a kind that struct knows."""


@dataclass(frozen=True, slots=True)
class QuickLayout:
    """A plain layout.

    Attributes:
        head: the fields of fixed size.
        names: what they are called.
        sizes: how many bytes a field of bytes must have, by name.
        codes: the number of each value, for fields that are tables.
        values: the value of each number, for the same.
        tail: the name of the open end, or None.
        counted: whether two bytes before the open end tell its size.
    """

    head: struct.Struct
    names: tuple[str, ...]
    sizes: dict[str, int]
    codes: dict[str, dict[Any, int]]
    values: dict[str, dict[int, Any]]
    tail: str | None
    counted: bool

    def build(self, values: Mapping[str, Any]) -> bytes | None:
        """Return the payload, or None when a value does not fit."""
        given = {name: values[name] for name in self.names}
        try:
            for name, codes in self.codes.items():
                given[name] = codes[given[name]]
            if any(len(given[name]) != size for name, size in self.sizes.items()):
                return None
            if self.tail is None:
                return self.head.pack(*given.values())
            end: bytes = values[self.tail]
            size = (len(end),) if self.counted else ()
            return self.head.pack(*given.values(), *size) + end
        except (struct.error, KeyError, TypeError):
            return None

    def parse(self, payload: bytes) -> dict[str, Any] | None:
        """Return the values, or None when the payload does not fit."""
        size = self.head.size
        if len(payload) < size or (self.tail is None and len(payload) > size):
            return None
        numbers = self.head.unpack_from(payload)
        if self.counted and numbers[-1] != len(payload) - size:
            return None
        values: dict[str, Any] = dict(zip(self.names, numbers, strict=False))
        try:
            for name, meanings in self.values.items():
                values[name] = meanings[values[name]]
        except KeyError:
            return None
        if self.tail is not None:
            values[self.tail] = payload[size:]
        return values


def quick_layout(layouts: Mapping[str, construct.Construct[Any, Any]]) -> QuickLayout | None:
    """Return the plain layout of fields in their order, or None when one of them is not plain."""
    names = list(layouts)
    end = layouts[names[-1]] if names else None
    counted = isinstance(end, construct.Prefixed) and end.subcon is construct.GreedyBytes
    tail = names.pop() if counted or end is construct.GreedyBytes else None
    try:
        form = "".join(_form(layouts[name]) for name in names)
        form += _form(end.lengthfield) if counted and isinstance(end, construct.Prefixed) else ""
    except _NotPlainError:
        return None
    tables = {name: layout for name in names if isinstance(layout := layouts[name], construct.Mapping)}
    return QuickLayout(
        head=struct.Struct(f"<{form}"),
        names=tuple(names),
        sizes={name: layouts[name].sizeof() for name in names if isinstance(layouts[name], construct.Bytes)},
        codes={name: table.encmapping for name, table in tables.items()},
        values={name: table.decmapping for name, table in tables.items()},
        tail=tail,
        counted=counted,
    )


def _form(layout: construct.Construct[Any, Any]) -> str:
    """Return the letter of struct for a field."""
    if isinstance(layout, construct.Mapping):
        return _form(layout.subcon)
    if isinstance(layout, construct.Bytes):
        return f"{layout.sizeof()}s"
    if isinstance(layout, construct.FormatField) and layout.fmtstr.startswith("<"):
        return str(layout.fmtstr[1:])
    raise _NotPlainError
