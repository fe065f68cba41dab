"""Writes programs for a bridge (`m43drivers.bridge.probe`), with names for the places in them."""

from __future__ import annotations

from m43drivers.bridge.probe import INSTRUCTIONS, NUMBERS
from m43proto.errors import EncodeError

__all__ = ["Assembly", "number"]

_U8, _U16 = 0xFF, 0xFFFF


def number(value: int) -> bytes:
    """Return a number as it stands in a program: seven bits a byte, the lowest first.

    Raises:
        EncodeError: it is negative.
    """
    if value < 0:
        raise EncodeError(f"{value} is negative, and the program has no place for a sign")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Assembly:
    """A program that is being written.

    Places get names of the caller's choice, or of `place`; a name may be used before it is put down.
    """

    def __init__(self) -> None:
        self._out = bytearray()
        self._places: dict[str, int] = {}
        self._uses: list[tuple[int, str]] = []
        self._count = 0

    def place(self) -> str:
        """Return a name that nobody has used."""
        self._count += 1
        return f"place {self._count}"

    def here(self, name: str) -> None:
        """Put a name down."""
        self._places[name] = len(self._out)

    def put(self, name: str, *operands: int | bytes | str) -> None:
        """Write an instruction.

        Args:
            name: one of `INSTRUCTIONS`.
            operands: as its form says; a place by its name.

        Raises:
            EncodeError: an operand does not fit.
        """
        code = NUMBERS[name]
        self._out.append(code)
        for letter, operand in zip(INSTRUCTIONS[code][1], operands, strict=True):
            self._out += self._operand(letter, operand)

    def _operand(self, letter: str, operand: int | bytes | str) -> bytes:
        if isinstance(operand, str):
            self._uses.append((len(self._out), operand))
            return bytes(2)
        if isinstance(operand, bytes):
            return number(len(operand)) + operand
        if letter == "b":
            if not 0 <= operand <= _U8:
                raise EncodeError(f"{operand} is no byte")
            return bytes([operand])
        return number(operand if letter == "n" else -2 * operand - 1 if operand < 0 else 2 * operand)

    def program(self) -> bytes:
        """Return the program.

        Raises:
            EncodeError: it is too long.
        """
        if len(self._out) > _U16:
            raise EncodeError(f"{len(self._out)} bytes are too long for a program")
        for at, name in self._uses:
            self._out[at : at + 2] = self._places[name].to_bytes(2, "little")
        return bytes(self._out)
