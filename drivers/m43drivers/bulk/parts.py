"""A capture in parts that are decoded side by side, with the result that decoding it in one go would have.

A part begins at a seam: a moment behind which whole transactions with right sums follow each other, so that nothing
was open before it. A seam is found in the first changes of a section of the file, by whoever needs it, and is the same
for all. That nothing was open is proved from the other side: the decoder of the part before must be at rest when it has
taken everything up to the seam. Where it is not, that part and the next are one, and are decoded anew.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.bulk.bursts import Bursts, FrameLines, Rows
from m43drivers.bulk.chains import shape_table
from m43drivers.bulk.decoder import AckedDecoder
from m43drivers.bulk.observing import Words, channels_mask
from m43drivers.capture.model import CaptureError
from m43drivers.capture.times import nearest
from m43proto.phy import REST_NS
from m43proto.pins import Line
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from m43drivers.bulk.decoder import Found
    from m43drivers.capture.stream import Block, CaptureStream
    from m43proto.catalogue import Catalogue

__all__ = ["LOOKED_AT_ONCE", "SECTION_TICKS", "Part", "Parts", "Seam"]

SECTION_TICKS = 1 << 25
"""Ticks of a section at least: some tenth of a second of work where the bus is busy."""

LONGEST_SECTION = 1 << 28
"""Ticks of a section at most, where the file can be cut: what is decoded of it has to wait for its turn."""

SECTIONS_EACH = 4
"""Sections for each process, so that one that has the busy ones is not waited for too long."""

LOOKED_ROWS = 1 << 14
"""Changes in which a seam is looked for at most at the start of a section: some twenty transactions."""

LOOKED_AT_ONCE = 1 << 12
"""How many of them are looked at before more are read: enough for most seams."""

PROOF = 3
"""Transactions with right sums that must follow each other behind a seam."""

_BUSY = np.uint8(Line.BODY_ACK.mask | Line.SHUTTER.mask)
_CLK = np.uint8(Line.CLK.mask)


@record(frozen=True, slots=True)
class Seam:
    """A moment at which nothing is open.

    Attributes:
        tick: of the first change behind it.
        levels: the levels before it, a bit per line in the order of `LINES`.
    """

    tick: int
    levels: int


class Parts:
    """The parts of a capture.

    Args:
        stream: a recording that can be read from its `marks` on, with ticks not below a nanosecond.
        mapping: the channel of each line, by its number; BODY_ACK among them.
        catalogue: the messages to know.
        jobs: how many processes will share them.
    """

    def __init__(self, stream: CaptureStream, mapping: Mapping[Line, int], catalogue: Catalogue, jobs: int) -> None:
        self._stream = stream
        self._mapping = mapping
        self._catalogue = catalogue
        self._starts = _spaced(stream.marks, jobs)
        self._seam = cache(self._found_seam)

    @staticmethod
    def possible(stream: CaptureStream, mapping: Mapping[Line, int]) -> bool:
        """Tell whether a capture can be decoded in more than one part."""
        return Line.BODY_ACK in mapping and stream.tick_ns >= 1 and any(mark >= SECTION_TICKS for mark in stream.marks)

    def __len__(self) -> int:
        return len(self._starts)

    def part(self, first: int, until: int | None = None) -> Part | None:
        """Return the part that begins in one section, or None where the part before goes on through it.

        Args:
            first: number of the section.
            until: number of the section in whose seam it ends at the earliest; the next unless given.
        """
        seam = self._seam(first) if first else None
        if first and seam is None:
            return None
        stop = first + 1 if until is None else until
        while stop < len(self) and self._seam(stop) is None:
            stop += 1
        behind = self._seam(stop) if stop < len(self) else None
        end = self._starts[stop] if behind else np.iinfo(np.int64).max
        blocks = self._stream.since(self._starts[first], channels_mask(self._mapping), None, int(end))
        return Part(blocks, Words(self._mapping), self._decoder(), seam, behind, stop)

    def _decoder(self) -> AckedDecoder:
        return AckedDecoder(tuple(self._mapping), self._catalogue, self._stream.tick_ns)

    def _found_seam(self, number: int) -> Seam | None:
        """Look for a seam where a section begins."""
        words, ticks, levels = Words(self._mapping), np.empty(0, np.int64), np.empty(0, np.uint8)
        next_start = self._starts[number + 1] if number + 1 < len(self) else None
        blocks = self._stream.since(self._starts[number], channels_mask(self._mapping), LOOKED_AT_ONCE)
        try:
            for block in blocks:
                ticks = np.concatenate([ticks, block.ticks])
                levels = np.concatenate([levels, words.of(block.states)])
                seam = self._seam_in(ticks, levels)
                if seam or len(ticks) >= LOOKED_ROWS or block.end + 1 == next_start:
                    return seam
        except CaptureError:
            pass  # Whoever decodes the part before comes to it, and tells.
        return None

    def _seam_in(self, ticks: NDArray[np.int64], levels: NDArray[np.uint8]) -> Seam | None:
        quiet = np.flatnonzero((levels & _BUSY == 0) & (levels & _CLK != 0))
        if not quiet.size:
            return None
        rows, start = Rows(ticks, levels, int(levels[0])), int(quiet[0]) + 1
        tick_ns = self._stream.tick_ns
        shapes = shape_table(self._catalogue)
        bursts = Bursts(rows, start, int((REST_NS - 1) / tick_ns), tick_ns)
        for burst in range(1, len(bursts)):
            rise = int(bursts.rises[burst])
            if int(levels[rise - 1]) & _BUSY or not bursts.good(burst, rise):
                continue
            run = bursts.run(burst, shapes)
            starts, end = run.transactions(burst)
            if len(starts) < PROOF:
                continue
            stretch = run.stretch(starts, end, bursts.falls, FrameLines(rows, None), rise)
            if stretch.command_sums_ok.all() and stretch.data_sums_ok.all():
                return Seam(int(ticks[rise]), int(levels[rise - 1]))
        return None


class Part:
    """One part: what is found in it, and whether that is what would be found in the whole.

    Attributes:
        stop: number of the section in whose seam it ends, or how many there are.
        sound: once all has been found: whether it began and ended with nothing open.
    """

    def __init__(
        self,
        blocks: Iterator[Block],
        words: Words,
        decoder: AckedDecoder,
        seam: Seam | None,
        behind: Seam | None,
        stop: int,
    ) -> None:
        self.stop = stop
        self.sound = False
        self._blocks = blocks
        self._words = words
        self._decoder = decoder
        self._from = seam
        self._until = behind

    def found(self) -> Iterator[Found]:
        """Yield what body and lens said.

        Raises:
            CaptureError: the file breaks the format.
        """
        decoder = self._decoder
        if self._from is not None:
            decoder.begin(self._from.levels)
        end = 0
        for block in self._blocks:
            some = slice(*np.searchsorted(block.ticks, self._range()).tolist())
            yield from decoder.take(block.ticks[some], self._words.of(block.states[some]))
            end = block.end
            if self._until is not None and end >= self._until.tick:
                break
        if self._until is None:
            yield from decoder.finish(nearest(end * decoder.tick_ns))
        self.sound = decoder.sound and (self._until is None or decoder.resting)

    def _range(self) -> tuple[int, int]:
        first = 0 if self._from is None else self._from.tick
        return first, np.iinfo(np.int64).max if self._until is None else self._until.tick


def _spaced(marks: tuple[int, ...], jobs: int) -> list[int]:
    """Return where sections begin: the start, and the marks that are far enough from the one before."""
    ticks = min(max(marks[-1] // (SECTIONS_EACH * jobs), SECTION_TICKS), LONGEST_SECTION) if marks else 0
    starts = [0]
    for mark in marks:
        if mark - starts[-1] >= ticks:
            starts.append(mark)
    return starts
