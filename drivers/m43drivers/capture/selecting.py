"""Some lines of a stream, under names of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.common import shown
from m43drivers.capture.merge import MAX_CHANNELS
from m43drivers.capture.model import CaptureError
from m43drivers.capture.rows import states_of
from m43drivers.capture.stream import Block, Label

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from m43drivers.capture.stream import CaptureStream

__all__ = ["selected"]


def selected(stream: CaptureStream, wanted: Mapping[str, str]) -> CaptureStream:
    """Give a stream of some lines in another order.

    Args:
        stream: where they come from.
        wanted: the channel, by its name or an alias, for each new name.

    Raises:
        CaptureError: a channel is not there, or there are more than 64.
    """
    bits = [_bit(stream, channel) for channel in wanted.values()]
    if len(bits) > MAX_CHANNELS:
        raise CaptureError(stream.provenance.path, f"expected at most {MAX_CHANNELS} channels, found {len(bits)}")

    def blocks(mask: int | None) -> Iterator[Block]:
        kept = [(place, bit) for place, bit in enumerate(bits) if mask is None or mask >> place & 1]
        for block in stream.blocks(sum(1 << bit for bit in {bit for _, bit in kept})):
            yield replace(block, states=_moved(block.states, kept))

    return replace(stream, labels=tuple(Label(name) for name in wanted), blocks=blocks)


def _bit(stream: CaptureStream, channel: str) -> int:
    by_name = {label.name: bit for bit, label in enumerate(stream.labels)}
    by_alias = {alias: bit for bit, label in enumerate(stream.labels) for alias in label.aliases}
    found = by_name.get(channel, by_alias.get(channel))
    if found is None:
        import difflib

        near = difflib.get_close_matches(channel, by_name, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {shown(', '.join(by_name), 200)}"
        raise CaptureError(stream.provenance.path, f"no channel is called {shown(channel)}; {hint}")
    return found


def _moved(states: NDArray[Any], kept: list[tuple[int, int]]) -> NDArray[np.uint64]:
    moved = states_of([0], len(kept)).repeat(states.size)
    for place, bit in kept:
        moved |= ((states >> states.dtype.type(bit)) & states.dtype.type(1)).astype(np.uint64) << np.uint64(place)
    return moved
