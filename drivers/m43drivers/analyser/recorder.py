"""Recording while it runs: a stream of blocks to sigrok sessions, of limited size, whole whenever it ends.

A thread of its own writes, so no signal interrupts a write, and a slow disk does not keep the decoder from its work. A
file has its name only when it is whole; until then it is hidden beside it.

A session file cannot say that samples are missing. So the levels are held across a hole, and the file's comment names
the holes.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import zipfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.analyser.model import Notice, Piece
from m43drivers.analyser.pieces import PieceQueue
from m43drivers.capture.common import one_line
from m43drivers.capture.model import CaptureError
from m43drivers.capture.writing.sigrok import ENTRY_BYTES, add_entry, metadata_text

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType

    from m43drivers.analyser.pieces import Item
    from m43drivers.capture.stream import Block

__all__ = ["CAPACITY", "LEAST_BYTES", "LiveRecorder", "Recorded", "SessionFile"]

CAPACITY = 4_000_000
"""Rows that wait for the disk at most."""

LEAST_BYTES = 1_000_000
"""The smallest file that a limit may ask for."""

SMALLEST_ENTRY = 1 << 16
ENTRIES_PER_FILE = 16
OVERHEAD = 4096
PER_ENTRY = 256
MOST_HOLES = 20
MOST_NOTE = 4000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recording.

    Attributes:
        paths: the files there are, oldest first.
        ticks: samples in them.
        full: whether it ended because its size was reached.
        lost_ticks: samples that the disk did not keep up with; their levels are held.
        error: why it ended early, or None.
    """

    paths: tuple[Path, ...]
    ticks: int
    full: bool
    lost_ticks: int
    error: CaptureError | None


class SessionFile:
    """One sigrok session, written as its samples come; it appears when it is closed.

    Args:
        path: where to.
        names: of the channels.
        rate_hz: samples per second.
        limit: bytes that it takes at most, or None.

    Attributes:
        path: where to.
        ticks: samples so far.
    """

    def __init__(self, path: Path, names: Sequence[str], rate_hz: int, limit: int | None = None) -> None:
        self.path = path
        self.ticks = 0
        self._names = tuple(names)
        self._rate_hz = rate_hz
        self._unit = (len(self._names) + 7) // 8
        self._limit = limit
        self._entry = ENTRY_BYTES if limit is None else min(ENTRY_BYTES, max(SMALLEST_ENTRY, limit // ENTRIES_PER_FILE))
        self._entry -= self._entry % self._unit
        self._entries = 0
        self._held = bytearray()
        self._hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._stream = self._hidden.open("xb")
        self._archive = zipfile.ZipFile(self._stream, "w")
        add_entry(self._archive, "version", b"2")

    @property
    def has_room(self) -> bool:
        """Whether more may be written: the entry under way, or another that fits however badly it compresses."""
        if self._limit is None or self._held:
            return True
        worst = self._entry + self._entry // 500
        return self._stream.tell() + worst + PER_ENTRY * (self._entries + 2) + OVERHEAD + MOST_NOTE <= self._limit

    @property
    def room_ticks(self) -> int:
        """Samples that the entry under way still takes."""
        return (self._entry - len(self._held)) // self._unit

    def write(self, starts: Any, states: Any, ticks: int) -> None:
        """Append samples as runs: at most `room_ticks` of them.

        Args:
            starts: number of the first sample of each run, from 0.
            states: of each run.
            ticks: number of samples.
        """
        octets = states.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : self._unit]
        runs = np.ascontiguousarray(octets).view(f"V{self._unit}")[:, 0]
        self._held += np.repeat(runs, np.diff(np.append(starts, ticks))).tobytes()
        self.ticks += ticks
        if len(self._held) >= self._entry:
            self._flush()

    def close(self, note: str) -> None:
        """Finish the file, and let it appear under its name."""
        if self._held:
            self._flush()
        text = metadata_text(self._names, self._rate_hz, self._unit, one_line(note, MOST_NOTE))
        add_entry(self._archive, "metadata", text.encode())
        self._archive.close()
        self._stream.close()
        self._hidden.replace(self.path)

    def abandon(self) -> Path | None:
        """Let go of a file that could not be finished; return where its rest lies, or None where it was empty."""
        with contextlib.suppress(OSError):
            self._archive.close()
        with contextlib.suppress(OSError):
            self._stream.close()
        if self._entries:
            return self._hidden
        self._hidden.unlink(missing_ok=True)
        return None

    def _flush(self) -> None:
        add_entry(self._archive, f"logic-1-{self._entries + 1}", bytes(self._held))
        self._entries += 1
        self._held.clear()


class LiveRecorder:
    """Records what it is given; a context manager that closes it.

    Args:
        path: ``NAME.sr``; with several files ``NAME-0001.sr`` and so on.
        names: of the channels.
        rate_hz: samples per second.
        source: what is recorded, for the comment in the file.
        max_bytes: how much all files take at most together, or None.
        files: 1 to stop when the size is reached; more to go on in a new file and remove the oldest.
        capacity: rows that wait for the disk at most.

    Raises:
        CaptureError: the file cannot be made, or an argument is none that can be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        names: Sequence[str],
        rate_hz: int,
        *,
        source: str = "",
        max_bytes: int | None = None,
        files: int = 1,
        capacity: int = CAPACITY,
    ) -> None:
        where = Path(path)
        limit = _limit_of(where, max_bytes, files)
        self._queue = PieceQueue(capacity)
        self._start = self._before = 0
        self._hurried = False
        self._writer = _Writer(_Target(where, tuple(names), rate_hz, source, limit, files))
        self._thread = threading.Thread(target=self._run, name="m43 recorder")
        self._thread.start()

    def __enter__(self) -> LiveRecorder:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def ended(self) -> bool:
        """Whether it takes no more: it is full, or failed."""
        return self._writer.full or self._writer.error is not None

    def take(self, item: Item) -> None:
        """Record the next block or notice; never waits."""
        if isinstance(item, Notice):
            self._queue.put(item)
            return
        self._queue.put(Piece(self._start, self._before, item))
        self._start = item.end + 1
        if item.states.size:
            self._before = int(item.states[-1])

    def hurry(self) -> None:
        """Have what is waiting thrown away, so that closing does not wait for the disk; from any thread."""
        self._hurried = True

    def close(self) -> Recorded:
        """Write what is waiting, finish the file, and say what became of it; may be called again."""
        self._queue.end()
        self._thread.join()
        return Recorded(
            tuple(self._writer.paths),
            self._writer.kept_ticks,
            self._writer.full,
            self._queue.lost_ticks,
            self._writer.error,
        )

    def _run(self) -> None:
        while (item := self._queue.take(None)) is not None:
            if not self._hurried:
                self._writer.take(item)
        self._writer.close()


def _limit_of(path: Path, max_bytes: int | None, files: int) -> int | None:
    if files < 1 or (files > 1 and max_bytes is None):
        raise CaptureError(path, f"expected a size for a ring of files, and at least one file; found {files} files")
    if max_bytes is None:
        return None
    if max_bytes // files < LEAST_BYTES:
        expected = (
            f"expected at least {LEAST_BYTES} bytes a file, found {max_bytes // files}; allow more, or fewer files"
        )
        raise CaptureError(path, expected)
    return max_bytes // files


@dataclass(frozen=True, slots=True)
class _Target:
    """Where to record, and what."""

    path: Path
    names: tuple[str, ...]
    rate_hz: int
    source: str
    limit: int | None
    files: int


class _Writer:
    """The side of a recorder that runs in its thread."""

    def __init__(self, target: _Target) -> None:
        self._target = target
        self._numbers = count(1)
        self._sizes: dict[Path, int] = {}
        self._holes: list[str] = []
        self._position = 0
        self._level = 0
        self._begin = 0
        self.full = False
        self.error: CaptureError | None = None
        try:
            self._file: SessionFile | None = self._opened()
        except OSError as error:
            raise self._failure(error) from None

    @property
    def paths(self) -> list[Path]:
        return list(self._sizes)

    @property
    def kept_ticks(self) -> int:
        return sum(self._sizes.values())

    def take(self, item: Item) -> None:
        if self.full or self.error is not None:
            return
        try:
            if isinstance(item, Notice):
                self._note(item)
            else:
                self._write(item)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        try:
            self._close_file()
        except OSError as error:
            self._fail(error)

    def _write(self, block: Block) -> None:
        """Append a block, from file to file where one is full."""
        ticks = np.concatenate([[self._position], block.ticks])
        states = np.concatenate([[self._level], block.states.astype(np.uint64)]).astype(np.uint64)
        seen = np.append(ticks[1:] != ticks[:-1], True)
        ticks, states = ticks[seen], states[seen]
        self._level = int(states[-1])
        while self._position <= block.end and not self.full:
            self._write_some(ticks, states, block.end + 1)

    def _write_some(self, ticks: Any, states: Any, end: int) -> None:
        file = self._file
        if file is None or not file.has_room:
            self._next_file()
            return
        upto = min(end, self._position + file.room_ticks)
        first = int(np.searchsorted(ticks, self._position, "right")) - 1
        last = int(np.searchsorted(ticks, upto, "left"))
        starts = np.maximum(ticks[first:last], self._position) - self._position
        file.write(starts, states[first:last], upto - self._position)
        self._position = upto

    def _next_file(self) -> None:
        self._close_file()
        if self._target.files == 1:
            self.full = True
            return
        self._begin = self._position
        while len(self._sizes) >= self._target.files:
            oldest = next(iter(self._sizes))
            del self._sizes[oldest]
            oldest.unlink(missing_ok=True)
        self._file = self._opened()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None and file.ticks:
            file.close(self._comment())
            self._sizes[file.path] = file.ticks
        elif file is not None:
            file.abandon()
        self._holes = []

    def _opened(self) -> SessionFile:
        target = self._target
        path = target.path
        if target.files > 1:
            path = path.with_name(f"{path.stem}-{next(self._numbers):04d}{path.suffix}")
        return SessionFile(path, target.names, target.rate_hz, target.limit)

    def _note(self, notice: Notice) -> None:
        until = "the end" if notice.until is None else f"{self._seconds(notice.until)} s"
        self._holes.append(f"{self._seconds(notice.tick)} s to {until} ({notice.kind})")

    def _seconds(self, tick: int) -> str:
        return f"{(tick - self._begin) / self._target.rate_hz:.6f}"

    def _comment(self) -> str:
        parts = [f"Recorded live by m43proto from {self._target.source or 'an analyser'}."]
        if self._begin:
            parts.append(f"It begins {self._begin / self._target.rate_hz:.6f} s after the start of the recording.")
        if self._holes:
            shown = ", ".join(self._holes[:MOST_HOLES])
            more = f", and {len(self._holes) - MOST_HOLES} more" if len(self._holes) > MOST_HOLES else ""
            parts.append(f"Not known, levels held: {shown}{more}.")
        return " ".join(parts)

    def _fail(self, error: OSError) -> None:
        """End the recording; what was written stays, finished where that is still possible."""
        self.error = self._failure(error)
        file, self._file = self._file, None
        rest = file.abandon() if file is not None else None
        if rest is not None:
            self.error = CaptureError(self.error.path, f"{self.error.expected}; what was recorded lies in {rest}")

    def _failure(self, error: OSError) -> CaptureError:
        expected = f"cannot be written ({error.strerror or error}); check the folder, its permissions and its room"
        return CaptureError(self._target.path, expected)
