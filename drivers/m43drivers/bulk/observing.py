"""A capture as a stream through the bulk decoder: blocks of changes in, columns and events out."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.bulk.decoder import AckedDecoder
from m43drivers.capture.times import nearest, ticks_to_ns
from m43proto.pins import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from m43drivers.bulk.decoder import Decoder, Found
    from m43drivers.capture.stream import Block, CaptureStream
    from m43proto.catalogue import Catalogue

__all__ = ["Words", "channels_mask", "decoder_for", "observe_stream"]

_TABLE_BITS = 16


def channels_mask(mapping: Mapping[Line, int]) -> int:
    """Return the mask of the channels that are lines."""
    return sum(1 << channel for channel in mapping.values())


def observe_stream(stream: CaptureStream, mapping: Mapping[Line, int], catalogue: Catalogue) -> Iterator[Found]:
    """Yield what body and lens said in a capture, in memory that does not grow with it.

    Args:
        stream: the recording.
        mapping: the channel of each line, by its number.
        catalogue: the messages to know.

    Raises:
        CaptureError: the file breaks the format.
    """
    tick_ns = max(stream.tick_ns, Fraction(1))
    decoder = decoder_for(tuple(mapping), catalogue, tick_ns)
    words = Words(mapping)
    end_ns = 0
    for block in _whole_ns(stream, channels_mask(mapping)):
        yield from decoder.take(block.ticks, words.of(block.states))
        end_ns = nearest(block.end * tick_ns)
    yield from decoder.finish(end_ns)


def decoder_for(lines: tuple[Line, ...], catalogue: Catalogue, tick_ns: Fraction) -> Decoder:
    """Return what decodes rows of these lines.

    Args:
        lines: the lines that were recorded.
        catalogue: the messages to know.
        tick_ns: length of a tick in nanoseconds, not below 1.
    """
    if Line.BODY_ACK in lines:
        return AckedDecoder(lines, catalogue, tick_ns)
    from m43drivers.bulk.bare import BareDecoder  # Seldom needed.

    return BareDecoder(lines, catalogue, tick_ns)


class Words:
    """Turns states of channels into levels of lines."""

    def __init__(self, mapping: Mapping[Line, int]) -> None:
        self._mapping = mapping
        self._table: NDArray[np.uint8] | None = None

    def of(self, states: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the levels of these states."""
        if all(line.bit == channel for line, channel in self._mapping.items()):
            return np.bitwise_and(states.astype(np.uint8, copy=False), np.uint8(channels_mask(self._mapping)))
        if states.dtype.itemsize * 8 > _TABLE_BITS:
            return self._moved(states)
        if self._table is None:
            self._table = self._moved(np.arange(1 << states.dtype.itemsize * 8, dtype=states.dtype))
        return np.asarray(self._table[states], np.uint8)

    def _moved(self, states: NDArray[Any]) -> NDArray[np.uint8]:
        levels = np.zeros(len(states), np.uint8)
        for line, channel in self._mapping.items():
            levels |= (states >> states.dtype.type(channel) & states.dtype.type(1)).astype(np.uint8) << line.bit
        return levels


def _whole_ns(stream: CaptureStream, mask: int) -> Iterator[Block]:
    """Yield the blocks; where a tick is shorter than a nanosecond, what falls on the same one is one change."""
    blocks = stream.blocks(mask)
    return blocks if stream.tick_ns >= 1 else _merged(blocks, stream.tick_ns)


def _merged(blocks: Iterator[Block], tick_ns: Fraction) -> Iterator[Block]:
    from m43drivers.capture.stream import Block

    waiting_ns = np.empty(0, np.int64)
    waiting: NDArray[Any] | None = None
    shown: NDArray[Any] | None = None
    end_ns = 0
    for block in blocks:
        end_ns = nearest(block.end * tick_ns)
        states = block.states if waiting is None else np.concatenate([waiting, block.states])
        times = np.concatenate([waiting_ns, ticks_to_ns(block.ticks, tick_ns)])
        if not times.size:
            continue
        last = np.append(times[1:] != times[:-1], False)
        waiting_ns, waiting = times[-1:], states[-1:]
        told, shown = _changes(times[last], states[last], shown)
        yield Block(*told, end_ns)
    if waiting is not None:
        told, _ = _changes(waiting_ns, waiting, shown)
        yield Block(*told, end_ns)


def _changes(
    times: NDArray[np.int64], states: NDArray[Any], shown: NDArray[Any] | None
) -> tuple[tuple[NDArray[np.int64], NDArray[Any]], NDArray[Any] | None]:
    """Leave out what is no change to what was shown before; return the rest, and what is shown then."""
    if not times.size:
        return (times, states), shown
    differs = np.ones(len(states), bool)
    differs[1:] = states[1:] != states[:-1]
    if shown is not None:
        differs[0] = states[0] != shown[0]
    return (times[differs], states[differs]), states[-1:]
