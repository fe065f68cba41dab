"""Signs in text output, and their stand-ins for terminals that cannot show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.evidence import Evidence
from m43proto.records import record

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["ASCII", "UNICODE", "Glyphs", "glyphs_for"]


@record(frozen=True, slots=True)
class Glyphs:
    """The signs of one way to write; those of one column are equally wide.

    Attributes:
        to_lens: arrow from body to lens.
        to_body: arrow from lens to body.
        nowhere: for a direction that nobody knows.
        good: a right sum.
        bad: a wrong sum, or a violation.
        event: something on a line outside any byte.
        infinity: the far end of the focus.
        degree: the sign of angles.
        dot: between two values.
        marks: one sign per level of evidence.
    """

    to_lens: str
    to_body: str
    nowhere: str
    good: str
    bad: str
    event: str
    infinity: str
    degree: str
    dot: str
    marks: dict[Evidence, str]


UNICODE = Glyphs("→", "←", "?", "✓", "✗", "·", "∞", "°", " · ", {level: level.mark for level in Evidence})
ASCII = Glyphs(
    "->", "<-", "? ", "ok ", "BAD", ". ", "infinity", " deg", ", ", {level: f"({level[0]})" for level in Evidence}
)


def glyphs_for(stream: TextIO) -> Glyphs:
    """Return signs that the stream can encode."""
    try:
        "→✓✗◕∞°".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE
