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
from contextlib import contextmanager, suppress
from functools import partial
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

FORMS = ("jsonl", "csv")
"""Forms whose lines do not depend on those before."""

CHUNK = 1 << 18
"""Characters that go through the pipe at once."""

KEPT = 1 << 19
"""Characters of a part that are kept in memory; more go to a file."""


@record(frozen=True, slots=True)
class _Made:
    """What became of a part, behind its lines.

    Attributes:
        stop: number of the section in whose seam it ends.
        sound: whether it is what decoding in one go would give.
        summary: its figures.
    """

    stop: int
    sound: bool
    summary: Summary


def cores() -> int:
    """Return how many processes can run at once; 1 where a process cannot be copied."""
    if not hasattr(os, "fork"):
        return 1
    usable: Callable[[int], Any] | None = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def fits(request: Request) -> bool:
    """Tell whether what is wanted can be put together from parts."""
    return request.summary or request.form in FORMS


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
    summary = Summary(detailed=request.summary)
    if stream is not None:
        writer_for(request, stream)  # Writes what stands above all lines.
    number = 0
    with _made_side_by_side(parts, request, jobs) as made:
        for index, take_lines in enumerate(made):
            with _waiting_lines() as lines:
                one = take_lines(lines)
                if index < number:
                    continue
                if one is None or not one.sound:
                    one = _anew(parts, request, index, lines, stream)
                _copy(lines, stream)
            summary.join(one.summary)
            number = one.stop
            told(number / len(parts))
    return summary


def _waiting_lines() -> SpooledTemporaryFile[str]:
    """Return a file for the lines of a part: in memory, as long as they are few."""
    from tempfile import SpooledTemporaryFile  # What is not cut into parts need not wait for it.

    return SpooledTemporaryFile(KEPT, "w+", encoding="utf-8", newline="")


def _copy(lines: IO[str], stream: TextIO | None) -> None:
    if stream is not None:
        lines.seek(0)
        with whole_lines():
            shutil.copyfileobj(lines, stream, CHUNK)
            stream.flush()


def _anew(parts: Parts, request: Request, first: int, lines: IO[str], stream: TextIO | None) -> _Made:
    """Decode a part together with as many of the next as it takes to end with nothing open."""
    until = first + 1
    while (part := parts.part(first, until)) is not None:
        lines.seek(0)
        lines.truncate()
        try:
            made = _decoded(part, request, lines)
        except M43Error:
            _copy(lines, stream)
            raise
        if made.sound:
            return made
        until = part.stop + 1
    raise AssertionError(f"section {first} has lost its seam")


def _decoded(part: Part, request: Request, lines: IO[str]) -> _Made:
    """Decode a part; write its lines, and return what became of it."""
    summary = Summary(detailed=request.summary)
    for text in _texts(part, request, summary):
        lines.write(text)  # Not `writelines`, which keeps all of it in memory.
    return _Made(part.stop, part.sound, summary)


def _texts(part: Part, request: Request, summary: Summary) -> Iterator[str]:
    """Yield the lines of a part in pieces, and count what is found."""
    lines = io.StringIO()
    writer = None if request.summary else writer_for(request, lines)
    _emptied(lines)
    for portion in part.found():
        take(request, summary, portion, writer)
        if lines.tell() >= CHUNK:
            yield _emptied(lines)
    yield _emptied(lines)


def _emptied(lines: io.StringIO) -> str:
    text = lines.getvalue()
    lines.seek(0)
    lines.truncate()
    return text


@contextmanager
def _made_side_by_side(
    parts: Parts, request: Request, jobs: int
) -> Iterator[Iterator[Callable[[IO[str]], _Made | None]]]:
    """Give what becomes of each section, in order; process k makes the sections k, k + jobs, ..."""
    workers: list[tuple[int, BinaryIO]] = []
    try:
        workers.extend(_forked(parts, request, range(index, len(parts), jobs)) for index in range(jobs))
        pipes = [pipe for _, pipe in workers]
        yield (partial(_taken, pipes[number % jobs]) for number in range(len(parts)))
    finally:
        for process, pipe in workers:
            pipe.close()
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _taken(pipe: BinaryIO, lines: IO[str]) -> _Made | None:
    """Take what a process makes of its next section: the lines, and what became of it; None if nothing did."""
    try:
        while isinstance(said := pickle.load(pipe), str):
            lines.write(said)
    except (EOFError, pickle.UnpicklingError, OSError):
        return None
    made: _Made | None = said
    return made


def _forked(parts: Parts, request: Request, numbers: range) -> tuple[int, BinaryIO]:
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
                _make(parts, request, number, pipe)
    finally:
        os._exit(0)


def _make(parts: Parts, request: Request, number: int, pipe: BinaryIO) -> None:
    """Make one section, in a process of its own; an error is found anew by who has to tell of it."""
    made: _Made | None = None
    part = parts.part(number)
    with _waiting_lines() as lines:
        if part is not None:
            with suppress(M43Error):
                made = _decoded(part, request, lines)
        lines.seek(0)
        # Only now, for the pipe takes nothing before the parts in front of this one have been written.
        while text := lines.read(CHUNK):
            pickle.dump(text, pipe)
    pickle.dump(made, pipe)
    pipe.flush()
