"""The four shapes of a transaction: what follows a command and its sum (specs/3-framing.md).

The high nibble of the first command byte tells the shape: exact over all eleven commands that are public.
"""

from __future__ import annotations

from enum import StrEnum

from m43proto.evidence import Evidence
from m43proto.pins import Role
from m43proto.records import record

__all__ = ["COMMAND_SIZE", "LENGTH_SIZE", "SHAPES", "Shape", "ShapeRow", "shape_of"]

COMMAND_SIZE = 4
"""Bytes of every command."""

LENGTH_SIZE = 2
"""Bytes of a block's length word, little-endian; it counts the data and the sum behind it, not itself."""


class Shape(StrEnum):
    """What follows a command and its sum."""

    SET = "set"
    COMPLETE = "complete"
    READ = "read"
    WRITE = "write"


@record(frozen=True, slots=True)
class ShapeRow:
    """One shape.

    Attributes:
        shape: its name.
        nibble: the high nibble of the first command byte.
        letter: its short name in the literature.
        block_sender: who sends the block, or None without a block.
        has_status: whether the lens ends with a status byte after its work.
        summary: what happens, in a clause.
        evidence: how sure that is.
        source: citation.
    """

    shape: Shape
    nibble: int
    letter: str
    block_sender: Role | None
    has_status: bool
    summary: str
    evidence: Evidence
    source: str


# fmt: off
SHAPES: dict[Shape, ShapeRow] = {
    row.shape: row
    for row in (
        ShapeRow(Shape.SET,      0xA, "A", None,      False, "nothing more",                                Evidence.CONFIRMED, "BELL"),
        ShapeRow(Shape.COMPLETE, 0xB, "B", None,      True,  "a busy handshake, then one status byte",      Evidence.CONFIRMED, "BELL"),
        ShapeRow(Shape.READ,     0xC, "C", Role.LENS, False, "the lens sends a block with its sum",         Evidence.CONFIRMED, "BELL"),
        ShapeRow(Shape.WRITE,    0x6, "6", Role.BODY, False, "the body sends a block, the lens its sum",    Evidence.CONFIRMED, "BELL"),
    )
}
# fmt: on

_BY_NIBBLE = {row.nibble: row.shape for row in SHAPES.values()}


def shape_of(command: bytes) -> Shape | None:
    """Return the shape that the first byte of `command` announces, or None for a nibble that nobody has seen."""
    return _BY_NIBBLE.get(command[0] >> 4)
