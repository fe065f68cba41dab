"""Events -> a Parquet file: a row per event, with a typed column per field of every message of the catalogue.

Names of columns are the keys of JSON lines, and fields that several messages share have one column, as in CSV. The
metadata of a column tell its unit, and for each message what the field is, how sure that is, and the source.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from m43proto.events import MessageSeen
from m43tools.extras import needed
from m43tools.render.records import fields_of, plain, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m43proto.catalogue import Catalogue
    from m43proto.encodings import Encoding
    from m43proto.events import Event
    from m43proto.schema import Field
    from m43tools.render.remarks import Remark
    from m43tools.render.rendering import Rendering

__all__ = ["ROWS_PER_GROUP", "ParquetWriter"]

ROWS_PER_GROUP = 1 << 16
"""Rows that are held until they are written."""

_EVENT = {"capture": "string", "event": "string", "t_ns": "int64", "end_ns": "int64"}
_REMARK = {"exact": "bool_", "rows": "int64"}
_MISFIT = {"cause": "string", "detail": "string", "data": "binary"}
_TRANSACTION = {
    "level": "uint8",
    **_MISFIT,
    "command": "binary",
    "shape": "string",
    "command_sum": "uint8",
    "command_sum_ok": "bool_",
    "length": "uint16",
    "data_sum": "uint8",
    "data_sum_ok": "bool_",
    "status": "uint8",
    "complete": "bool_",
}

_LAYERS: dict[str, dict[str, str]] = {
    "bytes": {**_EVENT, "from": "string", "value": "uint8", **_MISFIT},
    "transactions": {**_EVENT, **_TRANSACTION},
    "messages": {**_EVENT, "name": "string", "evidence": "string", **_TRANSACTION},
}
"""Columns of each layer beside the fields of messages: name -> type in pyarrow; of a live source, also `_REMARK`."""

_TYPES: dict[type, str] = {int: "int64", float: "float64", str: "string", bytes: "binary", bool: "bool_"}

_HEX = ("command", "data")


class ParquetWriter:
    """A row per event.

    Args:
        stream: where to; it need not be one that can be wound back.
        how: layer, catalogue, and the name that stands in the column ``capture``.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, stream: BinaryIO, how: Rendering) -> None:
        self._arrow = needed("pyarrow", "columns")
        parquet = needed("pyarrow.parquet", "columns")
        self._capture = how.capture
        self._schema = _schema(self._arrow, how)
        self._texts = {field.name for field in self._schema if field.type == self._arrow.string()}
        self._rows: list[dict[str, object]] = []
        self._writer = parquet.ParquetWriter(_OnlyForward(stream), self._schema, compression="zstd")

    def write(self, event: Event) -> None:
        """Write one event."""
        self._add(self._row(event))

    def write_remark(self, remark: Remark) -> None:
        """Write what a live source adds to the events."""
        self._add({**remark.record, "capture": self._capture})

    def _add(self, row: dict[str, object]) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the rows that are left, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def _row(self, event: Event) -> dict[str, object]:
        row = {**_values(event), **record_of(event), "capture": self._capture}
        row.update({key: bytes.fromhex(str(row[key])) for key in _HEX if key in row})
        return {key: self._cell(key, value) for key, value in row.items()}

    def _cell(self, key: str, value: object) -> object:
        return str(plain(value)) if key in self._texts and value is not None else value


class _OnlyForward:
    """A stream of bytes that tells how far it is without asking a pipe, which cannot tell."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._at = 0

    def write(self, data: bytes) -> int:
        """Write bytes."""
        self._stream.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._at

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream open: it is not ours."""


def _values(event: Event) -> dict[str, object]:
    """Return the fields of a message in their own types."""
    if not isinstance(event, MessageSeen):
        return {}
    lens = fields_of(event).get("lens")
    return {**event.values, **({"rest": event.rest} if event.rest else {}), **({"lens": lens} if lens else {})}


def _schema(arrow: Any, how: Rendering) -> Any:
    kinds = {**_LAYERS[how.layer], **(_REMARK if how.live else {})}
    columns = [arrow.field(name, getattr(arrow, kind)()) for name, kind in kinds.items()]
    if how.layer == "messages":
        columns += _field_columns(arrow, how.catalogue)
    return arrow.schema(columns)


def _field_columns(arrow: Any, catalogue: Catalogue) -> Iterable[Any]:
    known = _LAYERS["messages"]
    declared: dict[str, dict[str, Field]] = {}
    for kind in catalogue:
        for field in kind.spec.fields:
            declared.setdefault(field.name, {})[kind.spec.name] = field
    for name, fields in declared.items():
        if name not in known:
            yield arrow.field(name, getattr(arrow, _type_of(fields.values()))(), metadata=_metadata(fields))
    yield arrow.field("rest", arrow.binary(), metadata={"doc": "bytes of the block that no field covers"})
    if "lens" not in declared:
        yield arrow.field("lens", arrow.string(), metadata={"doc": "what the lens database calls this identity"})


def _type_of(fields: Iterable[Field]) -> str:
    kinds = {_value_type(field.encoding) for field in fields}
    return _TYPES.get(kinds.pop(), "string") if len(kinds) == 1 else "string"


def _value_type(encoding: Encoding) -> type:
    """Return the type of an encoding's values; words stand beside numbers where some values have words."""
    if encoding.labels is not None:
        return str
    return bytes if encoding.size is None else type(encoding.layout.parse(bytes(encoding.size)))


def _metadata(fields: dict[str, Field]) -> dict[str, str]:
    units = {field.unit for field in fields.values() if field.unit}
    told = {name: {"doc": one.doc, "evidence": one.evidence, "source": one.source} for name, one in fields.items()}
    return {"unit": ", ".join(sorted(units)), "messages": json.dumps(told, ensure_ascii=False)}
