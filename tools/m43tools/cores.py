"""One capture on all cores: its parts are decoded by processes side by side, and written in order as one.

Each process is a copy of this one, made when all is opened and imported, so it starts at once. What it makes of a part
comes through a pipe: the lines, and the figures. A part that did not begin and end with nothing open, or that could not
be read, is decoded anew here, together with the next one; so result and errors are those of a single process.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from m43proto.errors import M43Error
from m43proto.records import record
from m43tools.output import whole_lines
from m43tools.sniffing import take, writer_for
from m43tools.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from tempfile import SpooledTemporaryFile
    from typing import IO, BinaryIO, TextIO

    from m43drivers.bulk.parts import Part, Parts
    from m43tools.sniffing import Request

__all__ = ["cores", "decode_parts", "fits"]

FORMS = ("jsonl", "csv", "text")
"""Forms whose lines do not depend on those before."""

CHUNK = 1 << 18
"""Bytes that are copied at once."""

KEPT = 1 << 19
"""Bytes of a part that are kept in memory; more go to a file."""


@record(frozen=True, slots=True)
class _Made:
    """What became of a part; its lines follow in the pipe.

    Attributes:
        stop: number of the section in whose seam it ends.
        sound: whether it is what decoding in one go would give.
        summary: its figures.
        size: bytes of its lines.
    """

    stop: int
    sound: bool
    summary: Summary
    size: int


class _Job:
    """What all processes need, each of them a copy: one writer serves all parts of a process, for it keeps lines.

    Args:
        parts: of the capture.
        request: what is wanted.
        output: where the lines go in the end, or None for figures alone.
    """

    def __init__(self, parts: Parts, request: Request, output: TextIO | None) -> None:
        self.parts = parts
        self.request = request
        self._output = output
        self._lines = io.StringIO()
        self.writer = None if output is None else writer_for(request, self._lines, output)
        self.lines()

    @property
    def waiting(self) -> int:
        """How many characters have been written, and not been taken."""
        return self._lines.tell()

    def lines(self) -> bytes:
        """Take what has been written, as the output takes it."""
        text = self._lines.getvalue()
        self._lines.seek(0)
        self._lines.truncate()
        if self._output is None:
            return text.encode()
        return text.encode(self._output.encoding, self._output.errors or "strict")


def cores() -> int:
    """Return how many processes can run at once; 1 where a process cannot be copied."""
    if not hasattr(os, "fork"):
        return 1
    usable: Callable[[int], Any] | None = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def fits(request: Request) -> bool:
    """Tell whether what is wanted can be put together from parts; on a terminal, rows come one by one."""
    on_terminal = request.form == "text" and request.output is None and sys.stdout.isatty()
    return request.summary or (request.form in FORMS and not on_terminal)


def decode_parts(
    parts: Parts, request: Request, stream: TextIO | None, told: Callable[[float], None], jobs: int
) -> Summary:
    """Decode a capture, write what is to be shown, and count it.

    Args:
        parts: its parts.
        request: what is wanted.
        stream: where the lines go, or None for figures alone.
        told: called with the share that is done.
        jobs: how many processes.

    Raises:
        CaptureError: the file breaks the format; what was found before has been written.
    """
    job = _Job(parts, request, stream)
    summary = Summary(detailed=request.summary)
    number = 0
    with _between(request, stream) as out, _working(job, jobs) as pipes:
        for index in range(len(parts)):
            pipe = pipes[index % jobs]
            one = _next_made(pipe)
            sound = one is not None and one.sound and index >= number
            written = _pass_on(pipe, one.size, out if sound else None) if one else 0
            if index < number:
                continue
            if one is None or not sound or written < one.size:
                one = _anew(job, index, out, written if sound else 0)
            summary.join(one.summary)
            number = one.stop
            told(number / len(parts))
    return summary


@contextmanager
def _between(request: Request, stream: TextIO | None) -> Iterator[BinaryIO | None]:
    """Write what stands above all lines and below them; give where the bytes of the lines go, if they go anywhere."""
    if stream is None:
        yield None
        return
    writer = writer_for(request, stream)
    stream.flush()
    yield stream.buffer
    writer.finish()


def _waiting_lines() -> SpooledTemporaryFile[bytes]:
    """Return a file for the lines of a part: in memory, as long as they are few."""
    from tempfile import SpooledTemporaryFile  # What is not cut into parts need not wait for it.

    return SpooledTemporaryFile(KEPT, "w+b")


def _pass_on(source: IO[bytes], size: int, out: BinaryIO | None) -> int:
    """Copy lines, or take them and leave them, if there is no `out`; return how many bytes came of so many."""
    left = size
    with whole_lines():
        while left and (some := source.read(min(left, CHUNK))):
            if out is not None:
                out.write(some)
            left -= len(some)
        if out is not None:
            out.flush()
    return size - left


def _anew(job: _Job, first: int, out: BinaryIO | None, written: int) -> _Made:
    """Decode a part together with as many of the next as it takes to end with nothing open.

    Args:
        job: what is to be done.
        first: the section in which the part begins.
        out: where its lines go.
        written: how many bytes of them have been written already.
    """
    until = first + 1
    while (part := job.parts.part(first, until)) is not None:
        with _waiting_lines() as lines:
            try:
                made = _decoded(job, part, lines)
            except M43Error:  # It is told behind what was found before it.
                _pass_on_from(written, lines, out)
                raise
            if made.sound:
                _pass_on_from(written, lines, out)
                return made
        until = part.stop + 1
    raise AssertionError(f"section {first} has lost its seam")


def _pass_on_from(start: int, lines: IO[bytes], out: BinaryIO | None) -> None:
    size = lines.tell() - start
    lines.seek(start)
    _pass_on(lines, size, out)


def _decoded(job: _Job, part: Part, lines: IO[bytes]) -> _Made:
    """Decode a part; write its lines, and return what became of it."""
    summary = Summary(detailed=job.request.summary)
    try:
        for portion in part.found():
            take(job.request, summary, portion, job.writer)
            if job.waiting >= CHUNK:
                lines.write(job.lines())
    finally:
        lines.write(job.lines())
    return _Made(part.stop, part.sound, summary, lines.tell())


@contextmanager
def _working(job: _Job, jobs: int) -> Iterator[list[BinaryIO]]:
    """Start processes; give the pipes through which they tell. Process k makes the sections k, k + jobs, ..."""
    workers: list[tuple[int, BinaryIO]] = []
    try:
        workers.extend(_forked(job, range(index, len(job.parts), jobs)) for index in range(jobs))
        yield [pipe for _, pipe in workers]
    finally:
        for process, pipe in workers:
            pipe.close()
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _next_made(pipe: BinaryIO) -> _Made | None:
    """Return what a process says of its next section; None if nothing became of that."""
    try:
        made: _Made | None = pickle.load(pipe)
    except (EOFError, pickle.UnpicklingError, OSError):
        return None
    return made


def _forked(job: _Job, numbers: range) -> tuple[int, BinaryIO]:
    """Start a process that makes some sections; return it, and where it tells."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, os.fdopen(reading, "rb")
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            for number in numbers:
                _make(job, number, pipe)
    finally:
        os._exit(0)


def _make(job: _Job, number: int, pipe: BinaryIO) -> None:
    """Make one section, in a process of its own; an error is found anew by who has to tell of it."""
    made: _Made | None = None
    part = job.parts.part(number)
    with _waiting_lines() as lines:
        if part is not None:
            with suppress(M43Error):
                made = _decoded(job, part, lines)
        # Only now, for the pipe takes nothing before the parts in front of this one have been written.
        pickle.dump(made, pipe)
        if made is not None:
            lines.seek(0)
            shutil.copyfileobj(lines, pipe, CHUNK)
    pipe.flush()
