"""Captures as a stream of changes: what readers yield and decoders eat, in memory that does not grow.

A `Capture` holds every edge of a recording; a `CaptureStream` holds none. It knows its channels, and gives the changes
block by block: position and state, never a sample of an idle line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from m43drivers.capture.model import Provenance

__all__ = ["Block", "CaptureStream", "Label"]


@record(frozen=True, slots=True)
class Label:
    """What a channel is called.

    Attributes:
        name: as the file names it (``"D0"``, ``"Channel 3"``, ``"CLK"``).
        aliases: other names that a user may give for it (``"D3"``, ``"3"``).
    """

    name: str
    aliases: tuple[str, ...] = ()


@record(frozen=True, slots=True, eq=False)
class Block:
    """The next stretch of a capture.

    Attributes:
        ticks: at which tick something changes, strictly increasing within a block and from block to block (``int64``).
            The first row of the first block is tick 0 with the levels at the start; that is no change.
        states: the levels of all channels from each of these ticks on; bit k is channel k (an unsigned dtype).
        end: the last tick that this block speaks of; nothing changes between the last of `ticks` and this one.
    """

    ticks: NDArray[np.int64]
    states: NDArray[np.unsignedinteger[Any]]
    end: int


class Since(Protocol):
    """Reads a file from one of its marks on."""

    def __call__(self, tick: int, mask: int | None, rows: int | None = None, until: int = 0) -> Iterator[Block]:
        """Yield the changes."""


def _from_the_start(tick: int, mask: int | None, rows: int | None = None, until: int = 0) -> Iterator[Block]:
    raise NotImplementedError("a format without marks")


@record(frozen=True, slots=True, eq=False)
class CaptureStream:
    """A recording of digital lines, whatever the file format was, read as it goes.

    Attributes:
        labels: the channels in the file's order; the k-th is bit k of a state.
        tick_ns: exact length of a tick in nanoseconds; 1 where the file holds times instead of samples.
        sample_rate_hz: the sampling rate, or None where the file holds exact times.
        provenance: where it comes from.
        blocks: yields the changes from the start; its argument is a mask of the channels that matter (None for all):
            bits outside it are 0, and their changes make no row. The last block's `end` is the end of the capture.
            Raises `CaptureError` where the file breaks the format.
        again: whether `blocks` may be called more than once; false for a pipe.
        marks: ticks at which the file can be read from, too, in order; a format that is read from its start has none.
        since: yields the changes as `blocks` does, from 0 or one of `marks` on; the first row has the levels there. Its
            second argument is the mask, its third how many changes make a block (None for the usual), and no block
            reaches over a mark from the fourth on.
    """

    labels: tuple[Label, ...]
    tick_ns: Fraction
    sample_rate_hz: float | None
    provenance: Provenance
    blocks: Callable[[int | None], Iterator[Block]]
    again: bool = True
    marks: tuple[int, ...] = ()
    since: Since = _from_the_start

    @property
    def channels(self) -> tuple[Label, ...]:
        """The labels, by the name that a whole `Capture` has for its channels."""
        return self.labels
