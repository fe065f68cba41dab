"""Binary exports of changes of Saleae Logic 1: a sample number of 64 bits and a word of all lines, again and again.

Source: the maker's "Binary Export Format (Digital) - Logic 1.x". There is no header, so the format is told by sample
numbers that rise from record to record; the width of the words is the one that makes them rise. The other form, every
sample as a word, is what `raw` reads. The file states no rate, and ends at its last change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.common import Meter, Options
from m43drivers.capture.model import CaptureError, Provenance, RateMissingError
from m43drivers.capture.rows import Rows
from m43drivers.capture.stream import CaptureStream, Label
from m43drivers.capture.times import last_sample_ns, period_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from m43drivers.capture.input import Input, Readable
    from m43drivers.capture.stream import Block

__all__ = ["is_changes", "open_export"]

NUMBER_BYTES = 8
WORDS = (1, 2, 4, 8)
RECORDS = {word: np.dtype([("sample", "<u8"), ("state", f"<u{word}")]) for word in WORDS}
# Fewer records than this may rise by chance.
ENOUGH = 4
MAX_SAMPLE = 2**48
PIECE_RECORDS = 1 << 14


def is_changes(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is such an export: one width makes all sample numbers rise."""
    return _word_of(head) is not None


def _word_of(head: bytes) -> int | None:
    fitting = [word for word in WORDS if _rises(head, RECORDS[word])]
    return fitting[0] if len(fitting) == 1 else None


def _rises(head: bytes, record: np.dtype[np.void]) -> bool:
    count = len(head) // record.itemsize
    samples = np.frombuffer(head, record, count)["sample"]
    return count >= ENOUGH and bool(samples[-1] < MAX_SAMPLE) and bool((samples[1:] > samples[:-1]).all())


def open_export(source: Input, options: Options) -> CaptureStream:
    """Open an export of changes; bit k is line ``D<k>``, and the first record is time zero.

    Args:
        source: one file.
        options: ``rate_hz`` is needed; ``channels`` is all bits of a word unless given.

    Raises:
        CaptureError: the rate is missing. The stream raises it for a record.
    """
    if options.rate_hz is None:
        raise RateMissingError(source.path, "Logic 1 exports carry no sample rate; give it with --rate (rate_hz)")
    with source.open() as stream:
        word = _word_of(stream.read(4096) or b"") or 1
    lines, tick_ns = options.channels or 8 * word, period_ns(options.rate_hz)
    if not 1 <= lines <= 8 * word:
        raise CaptureError(source.path, f"{lines} channels asked for; its words have 1 to {8 * word}")

    def blocks(wanted: int | None) -> Iterator[Block]:
        rows, origin, last, meter = Rows(lines, wanted), None, -1, Meter(options.progress, source.size)
        with source.open() as stream:
            for at, records in _records(source, stream, RECORDS[word]):
                samples = records["sample"]
                origin = int(samples[0]) if origin is None else origin
                last = _checked(source, at, samples, last, records.itemsize)
                ticks = (samples - np.uint64(origin)).astype(np.int64)
                yield from rows.add(ticks, _masked(records["state"], lines), last - origin)
                meter.at(at)
        last_sample_ns(source.path, last - (origin or 0) + 1, tick_ns)
        yield from rows.finish(last - (origin or 0))

    labels = tuple(Label(f"D{bit}", (str(bit),)) for bit in range(lines))
    details = {"bytes per word": str(word)}
    return CaptureStream(
        labels, tick_ns, float(options.rate_hz), Provenance(str(source.path), "saleae-logic1", details), blocks
    )


def _records(source: Input, stream: Readable, record: np.dtype[np.void]) -> Iterator[tuple[int, NDArray[np.void]]]:
    """Yield records and the offset of the first of them."""
    if rest := source.size % record.itemsize:
        expected = f"{rest} bytes behind the last whole record of {record.itemsize}; the file is cut, export it again"
        raise CaptureError(source.path, expected, where=f"offset {source.size - rest}")
    at, held = 0, b""
    while data := stream.read(PIECE_RECORDS * record.itemsize):
        held += data
        count = len(held) // record.itemsize
        if count:
            yield at, np.frombuffer(held, record, count)
        at, held = at + count * record.itemsize, held[count * record.itemsize :]


def _checked(source: Input, at: int, samples: NDArray[np.uint64], last: int, size: int) -> int:
    """Give the last sample number, after a check that all rise from ``last`` on."""
    before = np.concatenate([np.array([max(last, 0)], np.uint64), samples[:-1]])
    wrong = (samples <= before) if last >= 0 else np.append(False, samples[1:] <= before[1:])
    wrong |= samples >= MAX_SAMPLE
    if wrong.any():
        offset = at + int(np.argmax(wrong)) * size
        expected = "expected a sample number above the one before; this is no Logic 1 export of changes"
        raise CaptureError(source.path, expected, where=f"offset {offset}")
    return int(samples[-1])


def _masked(states: NDArray[np.unsignedinteger], lines: int) -> NDArray[np.uint64]:
    return states.astype(np.uint64) & np.uint64((1 << lines) - 1)
