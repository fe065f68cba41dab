"""What every live source gives: blocks of changes in the order of time, and notices where they do not tell all.

::

    AnalyserError               a source cannot be opened or used; one line that says what to do
    ├── AccessError             the system does not let this user at the analyser; the text holds the udev rule
    └── FirmwareError           an FX2 analyser needs a firmware file that is not here, or does not take it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from m43proto.errors import M43Error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from m43drivers.capture.stream import Block

__all__ = ["AccessError", "AnalyserError", "FirmwareError", "Notice", "NoticeKind", "Piece", "Settings"]


class AnalyserError(M43Error):
    """A live source cannot be opened or used; the text is one line: source, what is wrong, what to do."""


class AccessError(AnalyserError):
    """The system does not let this user at the analyser."""


class FirmwareError(AnalyserError):
    """An FX2 analyser needs a firmware file that is not on this machine, or does not start with it."""


class NoticeKind(StrEnum):
    """Why blocks do not tell all."""

    OVERFLOW = "overflow"
    OVERRUN = "overrun"
    GAP = "gap"
    DAMAGE = "damage"
    LOST = "lost"

    @property
    def meaning(self) -> str:
        """One sentence for the reader."""
        return _MEANINGS[self]


_MEANINGS = {
    NoticeKind.OVERFLOW: "The analyser took more samples than it could send.",
    NoticeKind.OVERRUN: "This program did not keep up, and threw whole blocks away.",
    NoticeKind.GAP: "The analyser does not record between two buffers.",
    NoticeKind.DAMAGE: "What came from the analyser breaks its own format.",
    NoticeKind.LOST: "The analyser is gone, or does not answer any more.",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A stretch of time of which a stream knows nothing.

    Attributes:
        kind: why.
        tick: the first tick that is not known.
        until: the tick from which on samples are known again, or None when none follow.
        exact: whether `until` is counted; false where it is taken from the clock of this machine.
        text: what happened, in a sentence for a person.
    """

    kind: NoticeKind
    tick: int
    until: int | None
    exact: bool
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A block, and what it takes to begin with it.

    Attributes:
        start: the first tick that it speaks of.
        before: the levels before its first row.
        block: the changes.
    """

    start: int
    before: int
    block: Block

    def cost(self) -> int:
        """Rows that it holds in memory, and some for itself."""
        return int(self.block.ticks.size) + 16

    def opening(self) -> Block:
        """The same block with a row at its start, for a reader who has not seen what came before."""
        from m43drivers.capture.stream import Block

        if self.block.ticks.size and int(self.block.ticks[0]) == self.start:
            return self.block
        dtype: Any = self.block.states.dtype
        return Block(
            np.concatenate([np.array([self.start], np.int64), self.block.ticks]),
            np.concatenate([np.array([self.before], dtype), self.block.states]),
            self.block.end,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user wants of a source; what is None, the source chooses.

    Attributes:
        rate_hz: samples per second.
        channels: how many channels, from the first on.
        options: further words behind the source (``?rle=0``), by their names.
    """

    rate_hz: Fraction | None = None
    channels: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
