"""C99 for firmware: a codec of every message and the grammar of a transaction, without heap or dependencies."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jinja2

from m43proto.evidence import Evidence
from m43proto.messages import PROVISIONAL
from m43proto.pins import Role
from m43proto.schema import Part
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, SHAPES
from m43proto.turns import AFTER_COMMAND, TURNS, Phase
from m43tools.exporting.bundle import NOTE, template
from m43tools.exporting.rows import WireInteger, divisor_of, integer_of
from m43tools.render.values import UNIT_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from m43proto.catalogue import Catalogue
    from m43proto.schema import Field, Message, MessageSpec

__all__ = ["CField", "CMessage", "c_files", "c_message"]

_ASCII = {"×": "x", "°": "degree ", "§": "section ", "–": "-", "—": "-", "µ": "u"}
_KEYWORDS = frozenset(
    word
    for line in (
        "auto bool break case char const continue default do double else enum extern false float for goto if inline",
        "int long register restrict return short signed sizeof static struct switch true typedef union unsigned void",
        "volatile while",
    )
    for word in line.split()
)
_INTEGER_SIZES = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class CField:
    """A field in C.

    Attributes:
        name: its name, which ends in what the wire integer counts.
        field: the field as declared.
        offset: bytes from the start of the canonical form.
        integer: the integer that it is, or None for bytes.
    """

    name: str
    field: Field
    offset: int
    integer: WireInteger | None

    @property
    def size(self) -> int | None:
        """Bytes on the wire, or None when its end is open."""
        return self.field.encoding.size

    @property
    def kind(self) -> str:
        """The C type of the integer."""
        assert self.integer is not None
        return f"{'' if self.integer.signed else 'u'}int{8 * self.integer.size}_t"

    @property
    def declaration(self) -> str:
        """The member of the struct."""
        if self.integer is not None:
            return f"{self.kind} {self.name};"
        if self.size is None:
            return f"const uint8_t *{self.name}; size_t {self.name}_size;"
        return f"uint8_t {self.name}[{self.size}];"

    @property
    def comment(self) -> str:
        """What it is, how it stands on the wire, and how sure that is."""
        encoding = self.field.encoding
        formula = "" if self.integer is None or encoding.formula == "as on the wire" else f"; {encoding.formula}"
        return said(f"{self.field.doc}{formula} ({self.field.evidence}, {self.field.source})")

    @property
    def labels(self) -> list[tuple[str, str]]:
        """The words of a choice as macros with their values."""
        labels = self.field.encoding.labels or {}
        return [(identifier(f"{self.name}_{word}").upper(), f"0x{value:02X}u") for value, word in labels.items()]

    def decode(self) -> str:
        """Return the statements that read it."""
        if self.integer is not None:
            value = f"get_{self.integer.order[0]}e(&canonical[{self.offset}], {self.integer.size}u)"
            value = f"with_sign({value}, 0x80{'00' * (self.integer.size - 1)}u)" if self.integer.signed else value
            return f"message->{self.name} = ({self.kind}){value};"
        if self.size is None:
            return (
                f"message->{self.name} = &canonical[{self.offset}];\n"
                f"        message->{self.name}_size = size - {self.offset}u;"
            )
        return f"copy(message->{self.name}, &canonical[{self.offset}], {self.size}u);"

    def encode(self) -> str:
        """Return the statement that writes it."""
        at = f"&canonical[{self.offset}]"
        if self.integer is not None:
            unsigned = f"(uint{8 * self.integer.size}_t)" if self.integer.signed else ""
            return f"put_{self.integer.order[0]}e({at}, {self.integer.size}u, {unsigned}message->{self.name});"
        size = f"message->{self.name}_size" if self.size is None else f"{self.size}u"
        return f"copy({at}, message->{self.name}, {size});"

    def init(self) -> Iterator[str]:
        """Yield the statements that set it to its default."""
        default = self._default()
        if self.integer is not None:
            order = "little" if self.integer.order == "little" else "big"
            value = int.from_bytes(default, order, signed=self.integer.signed)  # type: ignore[arg-type]  # a literal
            yield f"message->{self.name} = {value}{'' if self.integer.signed else 'u'};"
        elif self.size is None:
            yield f"message->{self.name} = NULL;"
            yield f"message->{self.name}_size = 0u;"
        else:
            yield from (f"message->{self.name}[{at}] = 0x{value:02X}u;" for at, value in enumerate(default))

    def _default(self) -> bytes:
        field = self.field
        if field.default is dataclasses.MISSING:
            return bytes(self.size or 0)
        return bytes(field.encoding.layout.build(field.default))


@dataclass(frozen=True, slots=True)
class CMessage:
    """A message in C.

    Attributes:
        spec: its declaration.
        name: its name in lower case.
        fields: its fields in the order of the canonical form.
    """

    spec: MessageSpec
    name: str
    fields: tuple[CField, ...]

    @property
    def macro(self) -> str:
        """Its name in macros."""
        return self.name.upper()

    @property
    def opcode(self) -> str:
        """Its opcode as a constant, first byte above."""
        return f"0x{self.spec.opcode.hex().upper()}u"

    @property
    def size(self) -> int | None:
        """Bytes of the canonical form, or None when its end is open."""
        return self.spec.size

    @property
    def least(self) -> int:
        """Bytes of the canonical form without an open end."""
        return sum(field.size or 0 for field in self.fields)

    @property
    def size_text(self) -> str:
        """Its size as an expression."""
        if self.size is not None:
            return f"M43_{self.macro}_SIZE"
        open_end = next(field.name for field in self.fields if field.size is None)
        return f"(M43_{self.macro}_LEAST_SIZE + message->{open_end}_size)"


def c_files(catalogue: Catalogue) -> dict[str, bytes]:
    """Return ``m43.h``, ``m43.c`` and what stands beside them, by name."""
    known = tuple(catalogue)
    groups = [
        {"guard": "", "messages": [c_message(kind) for kind in known]},
        {"guard": "M43_PROVISIONAL", "messages": [c_message(kind) for kind in PROVISIONAL if kind not in known]},
    ]
    groups = [group for group in groups if group["messages"]]
    words = {
        "note": NOTE,
        "groups": groups,
        "evidence": list(Evidence),
        "shapes": list(SHAPES.values()),
        "roles": list(Role),
        "phases": list(Phase),
        "command_size": COMMAND_SIZE,
        "length_size": LENGTH_SIZE,
        "turns": [_turn(phase) for phase in Phase],
        "after_command": [AFTER_COMMAND[shape].name for shape in SHAPES],
        "codec": "\n".join(_codec(str(group["guard"]), group["messages"]) for group in groups),  # type: ignore[arg-type]
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["said"] = said
    files = {name: environment.from_string(template("c", name)).render(words) for name in ("m43.h", "m43.c")}
    return {name: text.encode() for name, text in {**files, "README.md": template("c", "README.md")}.items()}


def c_message(kind: type[Message]) -> CMessage:
    """Return a message as C sees it."""
    spec = kind.spec
    starts = {Part.ARGUMENT: 0, Part.BLOCK: spec.part_size(Part.ARGUMENT) or 0}
    starts[Part.STATUS] = starts[Part.BLOCK] + (spec.part_size(Part.BLOCK) or 0)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "_", spec.name).lower()
    fields = (
        CField(_field_name(field), field, starts[field.part] + field.offset, _integer(field)) for field in spec.fields
    )
    return CMessage(spec, identifier(name), tuple(fields))


def said(text: str) -> str:
    """Return text that can stand in a comment: ASCII, one line, nothing that ends or opens a comment."""
    for sign, word in _ASCII.items():
        text = text.replace(sign, word)
    text = " ".join(text.encode("ascii", "replace").decode().split())
    return re.sub(r"\*/|/\*|\?\?", lambda found: " ".join(found[0]), text).replace("\\", "/")


def identifier(text: str) -> str:
    """Return text as a name in C."""
    name = re.sub(r"\W", "_", text.encode("ascii", "replace").decode())
    return f"{name}_" if name in _KEYWORDS or name[:1].isdigit() else name


def _integer(field: Field) -> WireInteger | None:
    integer = integer_of(field.encoding.wire_layout)
    return integer if integer is not None and integer.size in _INTEGER_SIZES else None


def _field_name(field: Field) -> str:
    words = field.name.split("_")
    bare = "_".join(words[:-1]) if field.unit and words[-1] in UNIT_WORDS else field.name
    if field.encoding.wire_unit:
        return identifier(f"{bare}_{field.encoding.wire_unit}")
    divisor = divisor_of(field.encoding)
    return identifier(field.name if divisor in (1, None) else f"{field.name}_x{divisor}")


def _turn(phase: Phase) -> dict[str, object]:
    turn = TURNS.get(phase)
    if turn is None:  # idle: the next byte is the body's
        first = TURNS[Phase.COMMAND]
        return {"phase": phase, "sender": first.sender.name, "size": first.size, "then": Phase.COMMAND.name}
    return {"phase": phase, "sender": turn.sender.name, "size": turn.size or 0, "then": (turn.then or Phase.IDLE).name}


def _codec(guard: str, messages: Iterable[CMessage]) -> str:
    functions = "\n".join(function for one in messages for function in (_init(one), _decode(one), _encode(one)))
    return f"#ifdef {guard}\n{functions}#endif\n" if guard else functions


def _init(one: CMessage) -> str:
    lines = "".join(f"    {line}\n" for field in one.fields for line in field.init())
    return f"void m43_{one.name}_init(m43_{one.name} *message)\n{{\n{lines}}}\n"


def _decode(one: CMessage) -> str:
    fits = f"size == M43_{one.macro}_SIZE" if one.size is not None else f"size >= M43_{one.macro}_LEAST_SIZE"
    lines = "".join(f"        {field.decode()}\n" for field in one.fields)
    head = f"bool m43_{one.name}_decode(m43_{one.name} *message, const uint8_t *canonical, size_t size)"
    return f"{head}\n{{\n    const bool fits = {fits};\n\n    if (fits) {{\n{lines}    }}\n    return fits;\n}}\n"


def _encode(one: CMessage) -> str:
    lines = "".join(f"        {field.encode()}\n" for field in one.fields)
    head = f"size_t m43_{one.name}_encode(const m43_{one.name} *message, uint8_t *canonical, size_t capacity)"
    return (
        f"{head}\n{{\n    size_t size = {one.size_text};\n\n    if (size <= capacity) {{\n{lines}    }} else {{\n"
        f"        size = 0u;\n    }}\n    return size;\n}}\n"
    )
