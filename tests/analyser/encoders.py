"""What devices send, written by the rules of their protocols: the truth that decoders are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.analyser.support import runs_of_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def pico_narrow(samples: Sequence[int]) -> bytes:
    """Up to four lines, as sigrok-pico sends them: the first sample bare, then counts of repeats before new values."""
    sent = bytearray()
    last = None
    for value, count in runs_of_list(samples):
        if last is None:
            sent.append(0x80 | value)
        last = value if last is None else last
        if value != last:
            sent.append(0x80 | value)
        sent += _narrow_repeats(count - 1, value)
        last = value
    return bytes(sent)


def _narrow_repeats(count: int, value: int) -> bytes:
    sent = bytearray()
    while count >= 8:
        step = min(count // 8, 80)
        sent.append(step + 47)
        count -= 8 * step
    if count:
        # so many repeats of the value before, and the value once more
        sent.append(0x80 | (count - 1) << 4 | value)
    return bytes(sent)


def pico_wide(samples: Sequence[int], channels: int) -> bytes:
    """Five lines and more: slices of seven lines a byte, and counts of repeats."""
    return pico_wide_runs(runs_of_list(samples), channels)


def pico_wide_runs(runs: Iterable[tuple[int, int]], channels: int) -> bytes:
    """The same for samples as runs: state and count."""
    sent = bytearray()
    for value, count in runs:
        sent += bytes(0x80 | (value >> 7 * part) & 0x7F for part in range(-(-channels // 7)))
        repeats = count - 1
        while repeats >= 64:
            step = min(repeats // 32, 49)
            sent.append(step + 78)
            repeats -= 32 * step
        while repeats:
            step = min(repeats, 32)
            sent.append(step + 47)
            repeats -= step
    return bytes(sent)


def sump_buffer(samples: Sequence[int], groups: int, *, rle: bool) -> bytes:
    """A buffer of a SUMP analyser: newest entry first; with counts, each comes before the value that it repeats."""
    if not rle:
        return b"".join(sample.to_bytes(groups, "little") for sample in reversed(samples))
    flag = 1 << (8 * groups - 1)
    entries: list[int] = []
    for value, count in runs_of_list(samples):
        while count:
            step = min(count, flag)
            entries.append(value)
            if step > 1:
                entries.append(flag | (step - 1))
            count -= step
    return b"".join(entry.to_bytes(groups, "little") for entry in reversed(entries))
