"""Message fields in bulk, by layouts that are derived from the declarations of `m43proto.schema`.

Nothing is declared here: offset, size and type of a column come from the construct layout of its field, and a wire
value becomes a value in units by the field's own `Encoding`, once per distinct wire value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.bulk.columns import DATA_AT
from m43proto.records import record
from m43proto.schema import Part
from m43proto.shapes import COMMAND_SIZE
from m43proto.wires import Wire

if TYPE_CHECKING:
    from construct import Construct
    from numpy.typing import NDArray

    from m43proto.encodings import Encoding
    from m43proto.schema import Field, Message, MessageSpec

__all__ = ["Column", "columns_of"]

_ARGUMENTS_AT = 2
_ARGUMENTS_SIZE = COMMAND_SIZE - _ARGUMENTS_AT


@record(frozen=True, slots=True, eq=False)
class Column:
    """One field in the bytes of whole transactions of one size.

    Attributes:
        field: as declared.
        start: its first byte in the transaction.
        stop: the byte behind its last.
        dtype: how numpy reads it, or None where it stays bytes.
    """

    field: Field
    start: int
    stop: int
    dtype: np.dtype[Any] | None

    @property
    def raw(self) -> bool:
        """Whether its value is its bytes."""
        return self.dtype is None and _stays_bytes(self.field.encoding)

    def wires(self, rows: NDArray[np.uint8]) -> list[Any]:
        """Return the wire value in each transaction: a number, or bytes.

        Args:
            rows: a transaction a row.
        """
        part = np.ascontiguousarray(rows[:, self.start : self.stop])
        if self.dtype is not None:
            numbers: list[Any] = part.view(self.dtype)[:, 0].tolist()
            return numbers
        octets, size = part.tobytes(), self.stop - self.start
        return [octets[at : at + size] for at in range(0, len(rows) * size, size)] if size else [b""] * len(rows)

    def value(self, wire: Any) -> Any:
        """Return the value in units of a wire value."""
        encoding = self.field.encoding
        parsed = wire if isinstance(encoding.wire, Wire) or self.dtype is not None else encoding.wire.parse(wire)
        return encoding.decode(parsed)


_PROBE = b"\0"
"""Bytes that an encoding of raw bytes gives back as they are, and that no other does."""


def columns_of(kind: type[Message], size: int) -> tuple[Column, ...] | None:
    """Return the columns of a message in whole transactions without a status byte.

    Args:
        kind: the message.
        size: bytes of data in the block.

    Returns:
        the columns, or None where the block has not the size that the declaration states.
    """
    key: Any = kind
    return _columns(key, size)


@lru_cache(maxsize=256)
def _columns(kind: Any, size: int) -> tuple[Column, ...] | None:
    spec: MessageSpec = kind.spec
    if spec.size not in (None, _ARGUMENTS_SIZE + size):
        return None
    found = [_column(field, size) for field in spec.fields]
    return tuple(found) if all(column.start <= column.stop for column in found) else None


def _column(field: Field, size: int) -> Column:
    base = DATA_AT if field.part is Part.BLOCK else _ARGUMENTS_AT
    length = size - field.offset if field.encoding.size is None else field.encoding.size
    start = base + field.offset
    return Column(field, start, start + length, _dtype(field.encoding.wire))


def _stays_bytes(encoding: Encoding) -> bool:
    if isinstance(encoding.wire, Wire):
        return encoding.decode(_PROBE) is _PROBE
    from construct import Bytes, GreedyBytes  # Who declares with construct has loaded it.

    plain = encoding.wire is GreedyBytes or isinstance(encoding.wire, Bytes)
    return plain and encoding.decode(_PROBE) is _PROBE


def _dtype(wire: Wire | Construct[Any, Any]) -> np.dtype[Any] | None:
    """Return how numpy reads what stands as a number of a fixed size, in our words or in construct's."""
    code = wire.code if isinstance(wire, Wire) else _format_of(wire)
    return np.dtype(code) if code else None


def _format_of(layout: Construct[Any, Any]) -> str:
    from construct import FormatField

    return layout.fmtstr if isinstance(layout, FormatField) else ""
