"""What has to be known of a stream before it is decoded: which channel is which line, and which lines are dead."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.bulk.observing import channels_mask
from m43drivers.lines import ACK_LINES
from m43proto.pins import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from m43drivers.capture.stream import Block, CaptureStream
    from m43drivers.pinfinder import Finding

__all__ = ["PREFIX_ROWS", "WAITED_ROWS", "Looker", "found_lines", "living_lines"]

PREFIX_ROWS = 1 << 19
"""Changes at the start of a capture from which its lines are found."""

WAITED_ROWS = 1 << 14
"""Changes of a pipe in which an ack line must change, else it counts as dead; some 700 bytes of traffic."""


def found_lines(stream: CaptureStream) -> tuple[CaptureStream, dict[Line, int], Finding]:
    """Find the lines in the first `PREFIX_ROWS` changes of a capture.

    Returns:
        the stream to decode, the channel of each line by its number, and the finding.

    Raises:
        CaptureError: no two channels carry traffic of the mount, or the file breaks the format.
    """
    from m43drivers.capture.collecting import collected
    from m43drivers.pinfinder import find_lines

    blocks = stream.blocks(None)
    prefix = list(_up_to(blocks, PREFIX_ROWS))
    beginning = collected(replace(stream, blocks=lambda _: iter(prefix)))
    finding = find_lines(beginning)
    numbers = {id(channel): number for number, channel in enumerate(beginning.channels)}
    mapping = {line: numbers[id(channel)] for line, channel in finding.mapping.items()}
    return (stream if stream.again else _resumed(stream, prefix, blocks)), mapping, finding


def living_lines(
    stream: CaptureStream, mapping: Mapping[Line, int]
) -> tuple[CaptureStream, dict[Line, int], tuple[Line, ...]]:
    """Leave out ack lines that never change though CLK does: a probe that was not connected says nothing.

    A file is looked through as far as is needed, which is the first traffic where no line is dead. A pipe is looked at
    for `WAITED_ROWS` changes.

    Returns:
        the stream to decode, the mapping without these lines, and the lines.

    Raises:
        CaptureError: the file breaks the format.
    """
    blocks = stream.blocks(channels_mask(mapping))
    most = PREFIX_ROWS if stream.again else WAITED_ROWS
    looker = Looker(mapping)
    prefix = list(looker.looked(_up_to(blocks, most)))
    known = looker.done or not stream.again or sum(len(block.ticks) for block in prefix) < most
    if not known:
        for _ in looker.looked(blocks):
            pass
    dead = looker.dead
    living = {line: channel for line, channel in mapping.items() if line not in dead}
    return (_resumed(stream, prefix, blocks) if known else stream), living, dead


class Looker:
    """Watches blocks until each ack line has changed.

    Args:
        mapping: the channel of each line, by its number.
    """

    def __init__(self, mapping: Mapping[Line, int]) -> None:
        self._mapping = mapping
        self._acks = sum(1 << channel for line, channel in mapping.items() if line in ACK_LINES)
        self._first: NDArray[Any] | None = None
        self._changed = 0

    @property
    def done(self) -> bool:
        """Whether no ack line can be dead."""
        return self._changed & self._acks == self._acks

    @property
    def dead(self) -> tuple[Line, ...]:
        """Return the ack lines that have not changed, if CLK has."""
        if not self._changed >> self._mapping[Line.CLK] & 1:
            return ()
        return tuple(
            line for line in ACK_LINES if line in self._mapping and not self._changed >> self._mapping[line] & 1
        )

    def looked(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield blocks up to the one with which it is done."""
        for block in blocks:
            if self._first is None and block.states.size:
                self._first = block.states[:1]
            if self._first is not None and block.states.size:
                self._changed |= int(np.bitwise_or.reduce(block.states ^ self._first))
            yield block
            if self.done:
                return


def _up_to(blocks: Iterator[Block], most: int) -> Iterator[Block]:
    """Yield blocks until they hold some number of changes."""
    rows = 0
    for block in blocks:
        yield block
        rows += len(block.ticks)
        if rows >= most:
            return


def _resumed(stream: CaptureStream, prefix: list[Block], rest: Iterator[Block]) -> CaptureStream:
    """Give a stream from its start on, of which the beginning has been read."""
    return replace(stream, blocks=lambda _: chain(prefix, rest))
