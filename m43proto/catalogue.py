"""A set of messages as a value: what an engine knows is what it is given, never global state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m43proto.errors import DeclarationError
from m43proto.schema import Message
from m43proto.shapes import Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Catalogue"]


@dataclass(frozen=True, slots=True, init=False)
class Catalogue:
    """An immutable set of messages, one per opcode and one per name.

    ``PUBLIC | PROVISIONAL | mine`` combines: where both have an opcode, the right one's message wins.

    Attributes:
        name: what it is called in help and errors.
        messages: its messages, in the order of their declaration.
    """

    name: str
    messages: tuple[type[Message], ...]
    _by_opcode: dict[bytes, type[Message]] = field(repr=False, compare=False)

    def __init__(self, name: str, messages: Iterable[type[Message]]) -> None:
        rows = tuple(messages)
        _refuse_strangers(name, rows)
        _refuse_twins(name, rows)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "messages", rows)
        object.__setattr__(self, "_by_opcode", {row.spec.opcode: row for row in rows})

    def __or__(self, other: Catalogue) -> Catalogue:
        """Return both sets of messages; on an equal opcode the right one's message replaces the left one's.

        Raises:
            DeclarationError: two messages with different opcodes have one name.
        """
        if not isinstance(other, Catalogue):
            return NotImplemented
        merged = {**self._by_opcode, **other._by_opcode}
        return Catalogue(f"{self.name} | {other.name}", merged.values())

    def __iter__(self) -> Iterator[type[Message]]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    def find(self, command: bytes) -> type[Message] | None:
        """Return the message of a command, by its first two bytes, or None when nobody declared it."""
        return self._by_opcode.get(bytes(command[:2]))

    def shape_of(self, command: bytes) -> Shape | None:
        """Return the shape of a command: its message's own, else what its first nibble announces, else None."""
        known = self.find(command)
        return known.spec.shape if known else shape_of(command)

    def named(self, name: str) -> type[Message] | None:
        """Return the message of that name, or None."""
        return next((row for row in self.messages if row.spec.name == name), None)


def _refuse_strangers(name: str, rows: tuple[object, ...]) -> None:
    for row in rows:
        if not (isinstance(row, type) and issubclass(row, Message) and hasattr(row, "spec")):
            raise DeclarationError(f"catalogue {name!r}: {row!r} is not a class declared with @message")


def _refuse_twins(name: str, rows: tuple[type[Message], ...]) -> None:
    opcodes: dict[bytes, str] = {}
    names: dict[str, bytes] = {}
    for row in rows:
        spec = row.spec
        code = spec.opcode.hex(" ").upper()
        if spec.opcode in opcodes:
            first = opcodes[spec.opcode]
            raise DeclarationError(f"catalogue {name!r}: {first} and {spec.name} both have opcode {code}")
        if spec.name in names:
            other = names[spec.name].hex(" ").upper()
            raise DeclarationError(f"catalogue {name!r}: two messages are called {spec.name}: {other} and {code}")
        opcodes[spec.opcode] = spec.name
        names[spec.name] = spec.opcode
