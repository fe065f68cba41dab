"""Numbers in text, thousands at a time: eight characters are one machine word, and one multiplication joins digits.

Digits lie beside each other in a word of eight bytes, and each step joins neighbours: first to four numbers below 100,
then to two, then to one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Positions = NDArray[np.int64]

__all__ = ["PAD", "SPAN", "Window"]

SPAN = 8
PAD = bytes(3 * SPAN)
"""What a `Window` wants before its text: the words of the first characters begin there."""

MOST_DIGITS = 18


def _repeated(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes([byte]) * SPAN, "little"))


ZEROS, HIGH_NIBBLES, SIXES = _repeated(ord("0")), _repeated(0xF0), _repeated(6)
# By how many characters at the end of a word count, 0 to 8: the mask of these.
MASKS = np.array([(1 << 64) - (1 << 8 * (SPAN - count)) for count in range(SPAN + 1)], np.uint64)
STEPS = tuple(
    (np.uint64(mask), np.uint64(factor), np.uint64(shift))
    for mask, factor, shift in (
        (0x0F0F0F0F0F0F0F0F, (10 << 8) + 1, 8),
        (0x00FF00FF00FF00FF, (100 << 16) + 1, 16),
        (0x0000FFFF0000FFFF, (10_000 << 32) + 1, 32),
    )
)
SCALE = np.uint64(10**SPAN)


class Window:
    """A piece of text in which every position begins a word of eight characters.

    Args:
        text: begins with `PAD`.
    """

    def __init__(self, text: bytes) -> None:
        self.octets = np.frombuffer(text, np.uint8)
        self._words = np.ndarray((len(text) - SPAN + 1,), "<u8", text, strides=(1,))

    def words(self, at: Positions) -> Words:
        """Give the eight characters from each position on, the first in the lowest byte."""
        return self._words[at]

    def tails(self, ends: Positions, lengths: Positions) -> Words:
        """Give the characters before each end, at most eight of them, as the highest bytes of words of zeros."""
        return np.asarray(self.words(ends - SPAN) & MASKS.take(lengths, mode="clip"), np.uint64)

    def numbers(self, ends: Positions, lengths: Positions) -> Positions | None:
        """Read decimal numbers.

        Args:
            ends: the position behind each number.
            lengths: of the numbers, in characters.

        Returns:
            the numbers, or None where one is not 1 to 18 digits.
        """
        if not lengths.size:
            return lengths
        longest = int(lengths.max())
        if int(lengths.min()) < 1 or longest > MOST_DIGITS:
            return None
        total: Words | None = None
        for done in reversed(range(0, longest, SPAN)):
            part = self._eight(ends - done, np.maximum(lengths - done, 0))
            if part is None:
                return None
            total = part if total is None else total * SCALE + part
        return None if total is None else total.view(np.int64)

    def _eight(self, ends: Positions, lengths: Positions) -> Words | None:
        masks = MASKS.take(lengths, mode="clip")
        digits = (self.words(ends - SPAN) ^ ZEROS) & masks
        if ((digits | digits + SIXES) & HIGH_NIBBLES).any():
            return None
        for mask, factor, shift in STEPS:
            digits = (digits & mask) * factor >> shift
        return digits
