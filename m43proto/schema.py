"""How a message is declared: ``@message`` over a class whose fields are ``argument()``, ``wire()`` and ``status()``.

One declaration is the only place where a message stands. From it come the construct layouts, the typed frozen class
that callers use, the tables of the written spec, and what the sniffer prints. All construct cleverness, and all of
construct's traps, are settled here: a struct that ignores trailing bytes, errors outside its own tree, builds that
raise a bare ``KeyError``.

A message is one whole transaction in canonical bytes: the two argument bytes of the command, the data of the block
(without its length and its sum) and the status byte, as far as its shape has them::

    Drive.parse(bytes.fromhex("fe02 01 d703 0000 0000 0000")).aperture_f      # 3.785...

``build(parse(b)) == b`` for every message and every byte string of the right size.
"""

from __future__ import annotations

import dataclasses
import struct
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypedDict, TypeVar, Unpack, dataclass_transform

from m43proto.encodings import Encoding, plain
from m43proto.errors import DeclarationError, DecodeError, EncodeError
from m43proto.evidence import Evidence
from m43proto.records import declared_fields, record
from m43proto.shapes import SHAPES, Shape, shape_of
from m43proto.wires import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import construct

    from m43proto.pins import Role

__all__ = [
    "Field",
    "FieldOptions",
    "Layout",
    "Message",
    "MessageSpec",
    "Part",
    "Reading",
    "argument",
    "message",
    "status",
    "wire",
]

Layout: TypeAlias = "Encoding | construct.Construct[Any, Any]"
"""What a field specifier takes: an encoding of this project, or any construct layout."""

_ARGUMENT_SIZE = 2
_METADATA_KEY = "m43"


class Part(Enum):
    """Where in a transaction a field stands."""

    ARGUMENT = "argument"
    BLOCK = "block"
    STATUS = "status"


class FieldOptions(TypedDict, total=False):
    """What a field specifier takes beside layout and description.

    Keys:
        unit: unit of the value; an `Encoding` brings its own.
        default: value when a caller gives none.
        evidence: how sure the field is; the message's own level when left out.
        source: citation; the message's own when left out.
        only_if: ``(field, values)``: the field has an effect only when that other field has one of these values.
    """

    unit: str
    default: object
    evidence: Evidence | str
    source: str
    only_if: tuple[str, tuple[object, ...]]


@record(frozen=True, slots=True)
class _Declared:
    """What a field specifier leaves in the dataclass field for the decorator to pick up."""

    part: Part
    encoding: Encoding
    doc: str
    options: FieldOptions


@record(frozen=True, slots=True)
class Field:
    """One field of a message as declared.

    Attributes:
        name: the attribute's name; it ends in the unit where there is one (``aperture_f``, ``focus_distance_m``).
        part: command argument, block or status byte.
        offset: bytes from the start of its part.
        encoding: how it stands on the wire.
        unit: unit of the value, or an empty string.
        doc: what it is.
        evidence: how sure that is.
        source: citation.
        only_if: ``(field, values)`` when another field decides whether this one has an effect.
        default: the value that a caller need not give, or `dataclasses.MISSING`.
    """

    name: str
    part: Part
    offset: int
    encoding: Encoding
    unit: str
    doc: str
    evidence: Evidence
    source: str
    only_if: tuple[str, tuple[object, ...]] | None
    default: object

    def matters(self, values: Mapping[str, object]) -> bool:
        """Tell whether the field has an effect beside these values of its message."""
        return self.only_if is None or values.get(self.only_if[0]) in self.only_if[1]

    def end(self, held: bytes) -> int:
        """Return where the field ends in its part."""
        return len(held) if self.encoding.size is None else self.offset + self.encoding.size


@record(frozen=True, slots=True)
class Reading:
    """The fields that a transaction holds, even when it broke off or its block has an odd size.

    Attributes:
        values: the fields that are whole, in wire order.
        rest: bytes of the block that no field covers.
    """

    values: Mapping[str, object]
    rest: bytes


@record(frozen=True, slots=True)
class MessageSpec:
    """Everything that the declaration of a message says.

    Attributes:
        name: the public name.
        opcode: the first two bytes of its command.
        shape: what follows the command.
        section: where ``specs/`` describes it.
        doc: what it does, in a sentence.
        evidence: how sure that is.
        source: citation.
        fields: its fields in wire order.
        layouts: the construct layout of each part.
    """

    name: str
    opcode: bytes
    shape: Shape
    section: str
    doc: str
    evidence: Evidence
    source: str
    fields: tuple[Field, ...]
    layouts: Mapping[Part, construct.Construct[Any, Any]]

    def part(self, part: Part) -> tuple[Field, ...]:
        """Return the fields of one part of the transaction."""
        return tuple(field for field in self.fields if field.part is part)

    def part_size(self, part: Part) -> int | None:
        """Return the size of one part in bytes, or None when its end is open."""
        sizes = [field.encoding.size for field in self.part(part)]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def size(self) -> int | None:
        """Bytes of the canonical form, or None when the block's end is open."""
        sizes = [field.encoding.size for field in self.fields]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def block_sender(self) -> Role | None:
        """Who sends the block, or None without one."""
        return SHAPES[self.shape].block_sender

    def read(self, arguments: bytes, block: bytes = b"", status: int | None = None) -> Reading:
        """Decode what is there, field by field; never fails on a size, and drops nothing."""
        status_byte = b"" if status is None else bytes([status])
        held = {Part.ARGUMENT: arguments, Part.BLOCK: block, Part.STATUS: status_byte}
        values: dict[str, object] = {}
        covered = 0
        for field in self.fields:
            data = held[field.part]
            end = field.end(data)
            if end <= len(data) and field.offset <= end:
                values[field.name] = field.encoding.layout.parse(data[field.offset : end])
                covered = max(covered, end) if field.part is Part.BLOCK else covered
        return Reading(values, block[covered:])


class Message:
    """Base of all messages; its subclasses are frozen dataclasses made by `message`.

    Attributes:
        spec: the declaration as data.
    """

    __slots__ = ()
    spec: ClassVar[MessageSpec]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Decode the canonical bytes: two arguments, block data, status byte.

        Where the words of `struct` say how each field stands, they are read by these; construct takes seven times as
        long for the same, and more.

        Raises:
            DecodeError: `data` has not the size that the declaration states.
        """
        kind: Any = cls
        if (places := _places_of(kind)) and len(data) == cls.spec.size:
            return cls(**{name: decode(*unpack(data, start)) for name, start, unpack, decode in places})
        return cls.parse_by_construct(data)

    @classmethod
    def parse_by_construct(cls, data: bytes) -> Self:
        """Decode as `parse` does, by the construct layouts alone, which are the declaration."""
        spec = cls.spec
        if spec.size is not None and len(data) != spec.size:
            raise DecodeError(f"{spec.name} takes {spec.size} bytes, not {len(data)}", data=data, section=spec.section)
        if len(data) < _ARGUMENT_SIZE:
            raise DecodeError(f"{spec.name} takes at least {_ARGUMENT_SIZE} bytes", data=data, section=spec.section)
        end = len(data) - (spec.part_size(Part.STATUS) or 0)
        held = {Part.ARGUMENT: data[:_ARGUMENT_SIZE], Part.BLOCK: data[_ARGUMENT_SIZE:end], Part.STATUS: data[end:]}
        values: dict[str, Any] = {}
        for part in Part:
            values.update(_parse(spec, part, held[part]))
        return cls(**values)

    def build(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            EncodeError: a value does not fit its field.
        """
        return self._part(Part.ARGUMENT) + self._part(Part.BLOCK) + self._part(Part.STATUS)

    @property
    def command(self) -> bytes:
        """The four command bytes."""
        return self.spec.opcode + self._part(Part.ARGUMENT)

    @property
    def block(self) -> bytes:
        """The data of the block, without its length and its sum; empty where the shape has none."""
        return self._part(Part.BLOCK)

    @property
    def answer(self) -> bytes:
        """What the lens says of it behind the sum of the command: the data of its block, or its status byte."""
        return self._part(Part.STATUS) if SHAPES[self.spec.shape].has_status else self._part(Part.BLOCK)

    @property
    def values(self) -> dict[str, object]:
        """The fields by name, in wire order."""
        return {field.name: getattr(self, field.name) for field in self.spec.fields}

    def _part(self, part: Part) -> bytes:
        return _build(self.spec, part, self.values)

    @classmethod
    def request(cls, **arguments: object) -> bytes:
        """Return the four command bytes of a transaction whose other bytes the lens will send.

        Args:
            arguments: argument fields by name; those left out take their defaults.

        Raises:
            EncodeError: an argument is unknown, missing, or does not fit.
        """
        fields = {field.name for field in cls.spec.part(Part.ARGUMENT)}
        unknown = sorted(set(arguments) - fields)
        if unknown:
            raise EncodeError(f"{cls.spec.name} has no argument {unknown[0]!r}; it has: {', '.join(sorted(fields))}")
        defaults = {field.name: field.default for field in cls.spec.fields if field.default is not dataclasses.MISSING}
        return cls.spec.opcode + _build(cls.spec, Part.ARGUMENT, {**defaults, **arguments})


_RESERVED = frozenset(dir(Message)) | {"spec", "rest"}


_Place: TypeAlias = "tuple[str, int, Callable[[bytes, int], tuple[Any, ...]], Callable[[Any], Any]]"


@cache
def _places_of(kind: Any) -> tuple[_Place, ...] | None:
    """Return where each field stands in the canonical bytes and how it is read, where the words of `struct` say it."""
    places: list[_Place] = []
    for field in kind.spec.fields:
        layout = field.encoding.wire
        if not isinstance(layout, Wire) or layout.size is None:
            return None
        start = field.offset + (0 if field.part is Part.ARGUMENT else _ARGUMENT_SIZE)
        unpack = struct.Struct(layout.code or f"{layout.size}s").unpack_from
        places.append((field.name, start, unpack, field.encoding.decode))
    return tuple(places)


def _parse(spec: MessageSpec, part: Part, data: bytes) -> dict[str, Any]:
    from m43proto.layouts import ConstructError

    try:
        parsed = spec.layouts[part].parse(data)
    except ConstructError as error:
        reason = str(error).splitlines()[-1]
        raise DecodeError(f"{spec.name}: {reason}", data=data, section=spec.section) from None
    return {name: value for name, value in parsed.items() if not name.startswith("_")}


def _build(spec: MessageSpec, part: Part, values: Mapping[str, object]) -> bytes:
    needed = [field.name for field in spec.part(part)]
    missing = [name for name in needed if name not in values]
    if missing:
        raise EncodeError(f"{spec.name} needs a value for {missing[0]!r}")
    from m43proto.layouts import ConstructError

    try:
        return spec.layouts[part].build({name: values[name] for name in needed})
    except ConstructError as error:
        raise EncodeError(f"{spec.name}: {str(error).splitlines()[-1]}") from None
    except TypeError as error:
        raise EncodeError(f"{spec.name}: a value of the wrong type: {error}") from None


def _declare(part: Part, layout: Layout, doc: str, options: FieldOptions) -> Any:
    encoding = layout if isinstance(layout, Encoding) else plain(layout)
    default = options.get("default", dataclasses.MISSING)
    return dataclasses.field(default=default, metadata={_METADATA_KEY: _Declared(part, encoding, doc, options)})


def argument(layout: Layout, doc: str, **options: Unpack[FieldOptions]) -> Any:
    """Declare a field in the two argument bytes of the command (c2, c3).

    Args:
        layout: an `Encoding` of this project, or any construct layout.
        doc: what the field is, in a clause.
        options: see `FieldOptions`.
    """
    return _declare(Part.ARGUMENT, layout, doc, options)


def wire(layout: Layout, doc: str, **options: Unpack[FieldOptions]) -> Any:
    """Declare a field in the data of the block; arguments as for `argument`."""
    return _declare(Part.BLOCK, layout, doc, options)


def status(layout: Layout, doc: str, **options: Unpack[FieldOptions]) -> Any:
    """Declare the status byte that ends a `Shape.COMPLETE` transaction; arguments as for `argument`."""
    return _declare(Part.STATUS, layout, doc, options)


_M = TypeVar("_M")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(argument, wire, status))
def message(
    opcode: str | bytes,
    *,
    evidence: Evidence | str,
    source: str,
    section: str = "",
    shape: Shape | str | None = None,
) -> Callable[[type[_M]], type[_M]]:
    """Make a frozen, keyword-only, typed message class of a class that declares its fields.

    Args:
        opcode: the first two command bytes, as bytes or as text such as ``"C1 80"``.
        evidence: how sure the message as a whole is.
        source: citation.
        section: section of ``specs/``; a private catalogue may leave it out.
        shape: only for an opcode whose first nibble announces none.

    Raises:
        DeclarationError: the declaration cannot work; the text names it and says why.
    """

    def decorate(cls: type[_M]) -> type[_M]:
        try:
            return _make(cls, opcode, Evidence(evidence), source, section, shape)  # type: ignore[return-value, arg-type]
        except ValueError as error:
            raise DeclarationError(f"message {cls.__name__}: {error}") from None

    return decorate


def _make(
    cls: type[Message], opcode: str | bytes, evidence: Evidence, source: str, section: str, shape: Shape | str | None
) -> type[Message]:
    if not issubclass(cls, Message):
        raise DeclarationError("must derive from m43proto.Message")
    code = _opcode(opcode)
    settled = _shape(code, shape)
    if not source.strip():
        raise DeclarationError("must name a source")
    fields = tuple(_placed(declared_fields(cls), evidence, source))
    made = record(frozen=True, slots=True, kw_only=True)(cls)
    _check(fields, settled)
    made.spec = MessageSpec(
        name=made.__name__,
        opcode=code,
        shape=settled,
        section=section,
        doc=(made.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " "),
        evidence=evidence,
        source=source,
        fields=fields,
        layouts=_Layouts(fields),
    )
    return made


def _opcode(opcode: str | bytes) -> bytes:
    code = bytes.fromhex(opcode) if isinstance(opcode, str) else bytes(opcode)
    if len(code) != 2:
        raise DeclarationError(f"opcode {opcode!r} must be two bytes")
    return code


def _shape(code: bytes, shape: Shape | str | None) -> Shape:
    announced = shape_of(code)
    given = None if shape is None else Shape(shape)
    if announced and given and announced is not given:
        raise DeclarationError(f"first nibble {code[0] >> 4:X} announces shape {announced}, not {given}")
    settled = announced or given
    if settled is None:
        raise DeclarationError(f"first nibble {code[0] >> 4:X} announces no known shape; give shape=")
    return settled


def _placed(attributes: Mapping[str, dataclasses.Field[Any]], evidence: Evidence, source: str) -> Iterable[Field]:
    """Yield the declared fields with their offsets."""
    ends: dict[Part, int | None] = dict.fromkeys(Part, 0)
    for name, attribute in attributes.items():
        declared: _Declared | None = attribute.metadata.get(_METADATA_KEY)
        if declared is None:
            raise DeclarationError(f"field {name!r} is not declared by argument(), wire() or status()")
        if name in _RESERVED:
            raise DeclarationError(f"field name {name!r} is taken by every message")
        offset = ends[declared.part]
        if offset is None:
            raise DeclarationError(f"field {name!r} stands behind one with an open end")
        size = declared.encoding.size
        ends[declared.part] = None if size is None else offset + size
        yield _field(name, declared, offset, evidence, source)


def _field(name: str, declared: _Declared, offset: int, evidence: Evidence, source: str) -> Field:
    options = declared.options
    return Field(
        name=name,
        part=declared.part,
        offset=offset,
        encoding=declared.encoding,
        unit=options.get("unit", declared.encoding.unit),
        doc=declared.doc,
        evidence=Evidence(options.get("evidence", evidence)),
        source=options.get("source", source),
        only_if=options.get("only_if"),
        default=options.get("default", dataclasses.MISSING),
    )


def _check(fields: tuple[Field, ...], shape: Shape) -> None:
    row = SHAPES[shape]
    sizes = {part: [field.encoding.size for field in fields if field.part is part] for part in Part}
    if None in sizes[Part.ARGUMENT] or sum(size or 0 for size in sizes[Part.ARGUMENT]) != _ARGUMENT_SIZE:
        raise DeclarationError(f"its argument() fields must cover exactly {_ARGUMENT_SIZE} bytes")
    if sizes[Part.BLOCK] and row.block_sender is None:
        raise DeclarationError(f"shape {shape} has no block, so no wire() field")
    if sizes[Part.STATUS] != ([1] if row.has_status else []):
        raise DeclarationError(f"shape {shape} takes {'one' if row.has_status else 'no'} status() field of one byte")
    names = {field.name for field in fields}
    dangling = [field.only_if[0] for field in fields if field.only_if and field.only_if[0] not in names]
    if dangling:
        raise DeclarationError(f"only_if names a field {dangling[0]!r} that does not exist")


class _Layouts(dict[Part, "construct.Construct[Any, Any]"]):
    """The construct layouts of a message's parts, each made when it is first used."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        super().__init__()
        self._fields = fields

    def __missing__(self, part: Part) -> construct.Construct[Any, Any]:
        from m43proto.layouts import struct_of

        fields = [field for field in self._fields if field.part is part]
        self[part] = struct_of((field.name, field.doc, field.encoding.layout) for field in fields)
        return self[part]
