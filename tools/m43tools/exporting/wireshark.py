"""The message tables -> a Wireshark dissector in Lua, for the packets of ``m43 sniff --format pcapng``.

Everything that the dissector knows of the protocol stands in its rows, which are made here; its template holds the code
that walks them. How an encoding is decoded is found out by trying every wire value, so that no rule is written twice.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import construct
from jinja2 import Environment, StrictUndefined

from m43proto.evidence import Evidence
from m43proto.lensdb import lenses
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.schema import Part
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, SHAPES
from m43tools.render.packets import (
    CAUSE_CODES,
    FLAGS,
    HEADER,
    HEADER_SIZE,
    NO_LEVEL,
    NOT_TOLD,
    PIN_EVENT_CODES,
    REMARK_CODES,
    VERSION,
    PacketKind,
)
from m43tools.render.records import IDENTITY
from m43tools.render.remarks import REMARKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from m43proto.catalogue import Catalogue
    from m43proto.encodings import Encoding
    from m43proto.schema import Field, Message

__all__ = ["abbreviation", "rule_of", "wireshark_files"]

_WIRES = {"B": "uint8", "b": "int8", "H": "uint16", "h": "int16"}
"""Wire integers by the letter of `struct`; each has a reader in the template."""


def wireshark_files(catalogue: Catalogue = PUBLIC) -> dict[str, bytes]:
    """Return the dissector: path -> content.

    Args:
        catalogue: the messages that it always knows; those that are provisional wait for its preference.
    """
    template = files("m43tools.exporting").joinpath("templates", "wireshark", "m43.lua.jinja")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, autoescape=False)
    environment.filters["lua"] = _lua
    text = environment.from_string(template.read_text(encoding="utf-8")).render(
        version=VERSION,
        header={field.name: {"at": at, "size": field.size} for field, at in zip(HEADER, _offsets(), strict=True)},
        header_size=HEADER_SIZE,
        no_level=NO_LEVEL,
        not_told=f"{NOT_TOLD:X}",
        kinds={kind.value: kind.name.lower().replace("_", " ") for kind in PacketKind},
        kind_codes={kind.name: kind.value for kind in PacketKind},
        flags=FLAGS,
        pin_events={code: str(event) for event, code in PIN_EVENT_CODES.items()},
        remarks={code: event for event, code in REMARK_CODES.items()},
        remark_meanings={code: REMARKS[event] for event, code in REMARK_CODES.items()},
        causes={code: str(cause) for cause, code in CAUSE_CODES.items()},
        meanings={code: cause.meaning for cause, code in CAUSE_CODES.items()},
        shapes={row.nibble: str(row.shape) for row in SHAPES.values()},
        senders={row.nibble: str(row.block_sender) for row in SHAPES.values() if row.block_sender},
        command_size=COMMAND_SIZE,
        length_size=LENGTH_SIZE,
        messages=_rows(kind for kind in catalogue if kind.spec.evidence is not Evidence.PROVISIONAL),
        provisional=_rows(_provisional(catalogue)),
        lenses={lens.id_text: lens.name for lens in lenses()},
    )
    return {"m43.lua": text.encode()}


def _provisional(catalogue: Catalogue) -> Iterable[type[Message]]:
    return (kind for kind in PROVISIONAL | catalogue if kind.spec.evidence is Evidence.PROVISIONAL)


def _offsets() -> list[int]:
    return [sum(field.size for field in HEADER[:index]) for index in range(len(HEADER))]


def abbreviation(name: str) -> str:
    """Return a message's name as filters write it: ``EnableDrive`` becomes ``enable_drive``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _rows(kinds: Iterable[type[Message]]) -> list[dict[str, Any]]:
    return [_row(kind) for kind in kinds]


def _row(kind: type[Message]) -> dict[str, Any]:
    spec = kind.spec
    key = abbreviation(spec.name)
    fields = {part.value: [_field(key, field) for field in spec.part(part)] for part in Part}
    identity = {field.name for field in spec.fields} >= set(IDENTITY)
    return {
        "opcode": int.from_bytes(spec.opcode),
        "key": key,
        "name": spec.name,
        "doc": spec.doc,
        "evidence": str(spec.evidence),
        "source": spec.source,
        **({"section": spec.section} if spec.section else {}),
        **({"lens": True} if identity else {}),
        **{part: rows for part, rows in fields.items() if rows},
    }


def _field(key: str, field: Field) -> dict[str, Any]:
    row: dict[str, Any] = {
        "abbr": f"m43.{key}.{field.name}",
        "name": field.name,
        "at": field.offset,
        **({} if field.encoding.size is None else {"size": field.encoding.size}),
        "doc": f"{field.doc} ({field.evidence}, {field.source})",
        **rule_of(field.encoding),
    }
    if field.unit:
        row["unit"] = field.unit
    if field.only_if:
        other, values = field.only_if
        row["only_if"] = {"name": other, "values": [str(value) for value in values]}
    return row


@cache
def _probe(encoding: Encoding) -> tuple[str, dict[int, Any]]:
    """Return the name of the wire integer, and what every wire value decodes to."""
    text = getattr(encoding.wire_layout, "fmtstr", "")
    name = _WIRES.get(text[-1:])
    if name is None or text[0] != "<":
        return "", {}
    size: int = encoding.wire_layout.sizeof()
    signed = name.startswith("int")
    low, high = (-(1 << 8 * size - 1), 1 << 8 * size - 1) if signed else (0, 1 << 8 * size)
    return name, {word: encoding.decode(word) for word in range(low, high)}


def rule_of(encoding: Encoding) -> Mapping[str, Any]:
    """Return how the dissector decodes an encoding: the name of a rule of its template and what that needs.

    A rule has to give the same for every wire value. An encoding that none fits, as a user's catalogue may have one,
    stays bytes.
    """
    if encoding.labels is not None:
        return {"rule": "choice", "wire": "uint8", "labels": dict(encoding.labels)}
    wire, values = _probe(encoding)
    if not values:
        return _rule_of_bytes(encoding)
    for rule in (_same, _divided, _power, _formatted, _version):
        found = rule(values)
        if found is not None:
            return {"wire": wire, **found}
    return {"rule": "raw"}


def _rule_of_bytes(encoding: Encoding) -> Mapping[str, Any]:
    if not isinstance(encoding.wire_layout, construct.Bytes | type(construct.GreedyBytes)):
        return {"rule": "raw"}
    if encoding.size and isinstance(encoding.decode(bytes(encoding.size)), str):
        return {"rule": "text"}
    return {"rule": "raw"}


def _same(values: dict[int, Any]) -> dict[str, Any] | None:
    return {"rule": "same"} if all(value == word for word, value in values.items()) else None


def _divided(values: dict[int, Any]) -> dict[str, Any] | None:
    """Find a division by an integer; one word may stand for infinity."""
    if not isinstance(values[1], float) or not 0 < values[1] <= 1:
        return None
    divisor = round(1 / values[1])
    others = {word: value for word, value in values.items() if value != word / divisor}
    if not others:
        return {"rule": "divided", "by": divisor}
    if len(others) == 1 and math.isinf(next(iter(others.values()))):
        return {"rule": "divided", "by": divisor, "infinity": next(iter(others))}
    return None


def _power(values: dict[int, Any]) -> dict[str, Any] | None:
    """Find a power of two whose exponent is the word over an integer."""
    if not isinstance(values[1], float) or not values[1] > 1:
        return None
    steps = round(1 / math.log2(values[1]))
    return {"rule": "power", "steps": steps} if all(v == math.exp2(w / steps) for w, v in values.items()) else None


def _formatted(values: dict[int, Any]) -> dict[str, Any] | None:
    return {"rule": "hex"} if all(value == f"{word:02x}" for word, value in values.items()) else None


def _version(values: dict[int, Any]) -> dict[str, Any] | None:
    fits = all(value == f"{word >> 12:x}.{word & 0xFFF:03x}" for word, value in values.items())
    return {"rule": "version"} if fits else None


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


def _lua(value: object) -> str:
    """Return a value as a Lua expression."""
    return next(write(value) for kind, write in _LITERALS if isinstance(value, kind))


def _table(value: Mapping[Any, Any]) -> str:
    return "{" + ", ".join(f"{_key(key)} = {_lua(one)}" for key, one in value.items()) + "}"


def _key(key: object) -> str:
    return key if isinstance(key, str) and key.isidentifier() else f"[{_lua(key)}]"


_LITERALS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (bool, lambda value: str(value).lower()),
    (int, str),
    (str, lambda value: '"' + "".join(_ESCAPES.get(char, char) for char in value) + '"'),
    (dict, _table),
    (list, lambda value: "{" + ", ".join(map(_lua, value)) + "}"),
)
