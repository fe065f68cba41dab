"""A link that loses, delays, dribbles, doubles and stalls bytes, all of it by a seed.

What arrives, arrives in order; a byte stream never swaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

__all__ = ["HONEST", "FaultyLink", "LinkFaults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFaults:
    """What a link does wrong, in one direction.

    Attributes:
        loss: fraction of the bytes that never arrive.
        flip: fraction of the bytes of which one bit is wrong.
        duplicate: fraction of the pieces that arrive twice.
        stall: fraction of the pieces behind which nothing moves for `stall_s`.
        stall_s: how long that is, seconds.
        delay_s: how long a piece takes at most, seconds.
        dribble: fraction of the pieces that arrive byte by byte.
    """

    loss: float = 0.0
    flip: float = 0.0
    duplicate: float = 0.0
    stall: float = 0.0
    stall_s: float = 0.2
    delay_s: float = 0.0
    dribble: float = 0.0


HONEST = LinkFaults()

_DRIBBLE_S = 0.0002


class FaultyLink:
    """One direction of a link.

    Args:
        faults: what it does wrong.
        rng: decides when.

    Attributes:
        faults: what it does wrong from here on.
        free_s: when the last byte under way arrives, or a stall ends.
    """

    def __init__(self, faults: LinkFaults, rng: random.Random) -> None:
        self.faults = faults
        self._rng = rng
        self.free_s = 0.0

    def carry(self, data: bytes, now_s: float) -> Iterator[tuple[float, bytes]]:
        """Yield what arrives of a piece, and when."""
        for _ in range(1 + self._strikes(self.faults.duplicate)):
            bent = self._bent(data)
            pieces = [bytes([value]) for value in bent] if self._strikes(self.faults.dribble) else [bent]
            self.free_s = max(self.free_s, now_s + self._rng.random() * self.faults.delay_s)
            for piece in pieces:
                if piece:
                    yield self.free_s, piece
                self.free_s += _DRIBBLE_S if len(pieces) > 1 else 0
        if self._strikes(self.faults.stall):
            self.free_s = max(self.free_s, now_s) + self.faults.stall_s

    def _strikes(self, fraction: float) -> bool:
        return fraction > 0 and self._rng.random() < fraction

    def _bent(self, data: bytes) -> bytes:
        faults, rng = self.faults, self._rng
        if not faults.loss and not faults.flip:
            return data
        kept = [value for value in data if not self._strikes(faults.loss)]
        return bytes(value ^ (1 << rng.randrange(8)) if self._strikes(faults.flip) else value for value in kept)
