"""The wire's checksum: the sum of the bytes, modulo 256 (specs/3-framing.md).

Confirmed for commands (B0 F2 -> A2, C0 F6 -> B6, A0 F5 01 -> 96, C1 F9 -> BA, 60 F0 -> 50) and for blocks, whose
length word is left out of the sum (0A 10 C4 09 -> E7). Source: BELL, BLOG.
"""

__all__ = ["wire_sum"]


def wire_sum(data: bytes) -> int:
    """Return the 8-bit sum that the lens sends for a command, or either side for the data of a block."""
    return sum(data) & 0xFF
