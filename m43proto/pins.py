"""The seven signals of the mount: names, who drives each, idle levels (specs/1-electrical.md).

The position of a `Line` in `LINES` is its bit in every packed word of levels that the engine takes.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property

from m43proto.evidence import Evidence
from m43proto.records import record

__all__ = ["LINES", "PINS", "Line", "Pin", "Role"]


class Role(StrEnum):
    """The two ends of the mount. A phone that drives a lens plays the body."""

    BODY = "body"
    LENS = "lens"


class Line(StrEnum):
    """A signal of the mount."""

    CLK = "CLK"
    DATA = "DATA"
    BODY_ACK = "BODY_ACK"
    LENS_ACK = "LENS_ACK"
    SLEEP = "SLEEP"
    FOCUS = "FOCUS"
    SHUTTER = "SHUTTER"

    @cached_property
    def bit(self) -> int:
        """Its bit number in a word of levels."""
        return LINES.index(self)

    @cached_property
    def mask(self) -> int:
        """Its mask in a word of levels."""
        return 1 << self.bit


LINES: tuple[Line, ...] = tuple(Line)


@record(frozen=True, slots=True)
class Pin:
    """One signal as specs/1-electrical.md describes it.

    Attributes:
        line: its name.
        drivers: who drives it.
        idle: its level when nothing is said (for SLEEP: when the lens is off), 0 or 1; None where nobody knows.
        purpose: what it is for.
        evidence: how sure that is.
        source: citation.
    """

    line: Line
    drivers: tuple[Role, ...]
    idle: int | None
    purpose: str
    evidence: Evidence
    source: str


_BOTH = (Role.BODY, Role.LENS)
_BODY = (Role.BODY,)
_LENS = (Role.LENS,)

# fmt: off
PINS: tuple[Pin, ...] = (
    Pin(Line.CLK,      _BODY, 1,    "clock; data changes after it falls and is taken when it rises", Evidence.CONFIRMED, "BELL, BLOG"),
    Pin(Line.DATA,     _BOTH, None, "one shared data line, half duplex, least significant bit first", Evidence.CONFIRMED, "BELL, BLOG"),
    Pin(Line.BODY_ACK, _BODY, 0,    "handshake of the body; high is attention or ready",             Evidence.CONFIRMED, "BELL, BLOG"),
    Pin(Line.LENS_ACK, _LENS, 0,    "handshake of the lens; high is ready, low is working or hand-over", Evidence.CONFIRMED, "BELL, BLOG"),
    Pin(Line.SLEEP,    _BODY, 0,    "low is off, high is awake throughout a session",                Evidence.CONFIRMED, "BELL@bb20aad"),
    Pin(Line.FOCUS,    _BODY, None, "toggled once per frame; meaning unknown",                       Evidence.OBSERVED,  "BELL"),
    Pin(Line.SHUTTER,  _BODY, 0,    "0.5 ms high pulse shortly before each poll; probably a frame sync", Evidence.OBSERVED, "BELL"),
)
# fmt: on
