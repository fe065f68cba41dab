"""Wire values as they stand in bytes, in the words of `struct`: construct and numpy both read these.

A declaration says ``U16``; `m43proto.layouts` makes construct's layout of it when something is parsed or built, and
bulk decoding makes numpy's. So who decodes in bulk never waits for construct to be imported.
"""

from __future__ import annotations

from m43proto.records import record

__all__ = ["REST", "S16", "U8", "U16", "Wire", "octets"]


@record(frozen=True, slots=True)
class Wire:
    """How a value stands in bytes.

    Attributes:
        code: the number's format in the words of `struct` (``"<H"``), or empty for bytes that stay bytes.
        size: bytes, or None for all that are left.
    """

    code: str
    size: int | None


U8 = Wire("<B", 1)
U16 = Wire("<H", 2)
S16 = Wire("<h", 2)
REST = Wire("", None)
"""All bytes that are left."""


def octets(size: int) -> Wire:
    """Return some number of bytes that stay bytes."""
    return Wire("", size)
