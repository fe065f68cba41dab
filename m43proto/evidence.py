"""How sure a statement about the protocol is, and where it comes from.

The protocol is reverse engineered, so every message, field, pin and shape names an evidence level and a citation.
A citation is a source's key, optionally with a place in it: ``BELL@bb20aad`` (a commit of it); commas part several.
"""

from __future__ import annotations

from enum import StrEnum

from m43proto.errors import DeclarationError
from m43proto.records import record

__all__ = ["SOURCES", "Evidence", "Source", "cited_sources"]


class Evidence(StrEnum):
    """How sure a statement is, strongest first."""

    CONFIRMED = "confirmed"
    OBSERVED = "observed"
    INFERRED = "inferred"
    PROVISIONAL = "provisional"
    UNKNOWN = "unknown"

    @property
    def mark(self) -> str:
        """One character for a table."""
        return _LEVELS[self][0]

    @property
    def meaning(self) -> str:
        """One sentence for the reader of a report."""
        return _LEVELS[self][1]


_LEVELS = {
    Evidence.CONFIRMED: ("●", "Working code drove a real lens with it, or a real body accepted it."),
    Evidence.OBSERVED: ("◕", "Seen in a capture or logged from a real device; never replayed with a known effect."),
    Evidence.INFERRED: ("◑", "Deduced from evidence that is listed beside it; no source states it."),
    Evidence.PROVISIONAL: ("◇", "Assigned by this project; nothing on the wire is known."),
    Evidence.UNKNOWN: ("○", "No public source says what it is."),
}


@record(frozen=True, slots=True)
class Source:
    """One public source.

    Attributes:
        number: its number in ``specs/references.md``.
        key: its short name in citations.
        title: what it is.
    """

    number: int
    key: str
    title: str


SOURCES: dict[str, Source] = {
    source.key: source
    for source in (
        Source(1, "BELL", "stevenbell/microfourthirds: two Arduino programs that met real lenses and bodies"),
        Source(2, "BLOG", "Marcus Wolschon: reverse engineering the Micro Four Thirds bus with a logic analyser"),
        Source(3, "EXIFTOOL", "ExifTool's tables of what Olympus and Panasonic bodies store about a lens"),
        Source(4, "EXIF-S", "EXIF of sample photographs in public test collections"),
        Source(5, "LUMIX", "lens reply of Panasonic bodies over Wi-Fi, as quoted in open code"),
        Source(6, "GH5-FORUM", "ExifTool forum thread on the focus distance that a GH5 stores"),
        Source(7, "DCW", "summary of a DC-Watch interview with the developers of the GH2"),
        Source(8, "PANA-NZ", "Panasonic New Zealand: what Micro Four Thirds is"),
        Source(9, "43-QUOTE", "statement of four-thirds.org, as quoted by BLOG"),
        Source(10, "SIM", "captures of BELL's programs in a cycle-level simulation; nothing physical"),
        Source(0, "PROJECT", "assigned by this project"),
    )
}


def cited_sources(citation: str) -> tuple[Source, ...]:
    """Return the sources of a citation such as ``"BELL@bb20aad, SIM"``.

    Raises:
        DeclarationError: a key is not in `SOURCES`, or the citation is empty.
    """
    keys = [part.strip().partition("@")[0] for part in citation.split(",")]
    unknown = [key for key in keys if key not in SOURCES]
    if unknown:
        known = ", ".join(SOURCES)
        raise DeclarationError(f"citation {citation!r}: no source is called {unknown[0]!r}; known: {known}")
    return tuple(SOURCES[key] for key in keys)
