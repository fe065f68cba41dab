"""Many captures at once: side by side on the cores, with one bar, and one answer.

Each capture is decoded in a process of its own into a file of its own. Either these files are the output, in a folder,
or they are put together in the order in which the captures were named.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from m43drivers.capture import saleae_binary
from m43proto.errors import M43Error
from m43proto.records import record
from m43tools.interrupts import interrupts_held
from m43tools.output import Progress, open_output, progress_on_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from typing import TextIO

__all__ = ["Work", "captures_in", "decode_many", "folder_asked_for", "targets_in"]

EXIT_BAD = 2
"""Of a capture that could not be read; the others are decoded all the same."""

LOOK_S = 0.1

STAGES = 2
"""Stages of the progress of one capture: reading and decoding."""


class Work(Protocol):
    """Decodes one capture into a file; it has to be picklable."""

    def __call__(self, captures: tuple[Path, ...], output: Path, progress: Progress) -> int:
        """Return the exit code."""


@record(frozen=True, slots=True)
class _Told:
    """What became of one capture.

    Attributes:
        code: its exit code.
        notes: what it said on stderr.
    """

    code: int
    notes: str


class _StoppedError(Exception):
    """The user has given up."""


class _Shares(Progress):
    """Tells a share of the whole, and stops the work when asked to."""

    def __init__(self, shares: Any, index: int, stop: Any) -> None:
        self._shares = shares
        self._index = index
        self._stop = stop
        self._stages: list[str] = []

    def update(self, stage: str, fraction: float) -> None:
        """Take note that this share of a stage is done, 0 to 1."""
        if self._stop.is_set():
            raise _StoppedError
        if stage not in self._stages:
            self._stages.append(stage)
        self._shares[self._index] = (self._stages.index(stage) + fraction) / STAGES


_in_worker: dict[str, Any] = {}


def _begin_worker(shares: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _in_worker.update(shares=shares, stop=stop)


def _do(work: Work, index: int, captures: tuple[Path, ...], output: Path) -> _Told:
    notes = io.StringIO()
    with redirect_stderr(notes):
        progress = _Shares(_in_worker["shares"], index, _in_worker["stop"])
        try:
            code = work(captures, output, progress)
        except click.ClickException as error:
            click.echo(f"m43: {error.format_message()}", err=True)
            code = EXIT_BAD
        except (M43Error, OSError) as error:
            click.echo(f"m43: {error}", err=True)
            code = EXIT_BAD
    _in_worker["shares"][index] = 1.0
    return _Told(code, notes.getvalue())


def captures_in(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Return the captures that paths make up: the Saleae binary files of a folder are one, every other path is one."""
    groups: dict[object, list[Path]] = {}
    for path in dict.fromkeys(paths):
        groups.setdefault(path.parent if _is_saleae_binary(path) else path / "", []).append(path)
    return [tuple(group) for group in groups.values()]


def _is_saleae_binary(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(saleae_binary.MAGIC)) == saleae_binary.MAGIC


def folder_asked_for(output: Path | None, *, always: bool) -> bool:
    """Tell whether an output of many captures is a folder: one that is there, or a new name without a suffix."""
    return output is not None and (output.is_dir() or (not output.exists() and (always or not output.suffix)))


def targets_in(folder: Path, captures: Sequence[tuple[Path, ...]], suffix: str) -> list[Path]:
    """Return a file in a folder for each capture: its path from where they all are, and the suffix behind it."""
    firsts = [Path(os.path.abspath(group[0])) for group in captures]
    base = Path(os.path.commonpath([path.parent for path in firsts]))
    return [folder / path.relative_to(base).with_name(path.name + suffix) for path in firsts]


def decode_many(
    work: Work,
    captures: Sequence[tuple[Path, ...]],
    *,
    form: str,
    output: Path | None,
    targets: Sequence[Path] | None,
    jobs: int | None,
) -> int:
    """Decode captures side by side; return the worst exit code.

    Args:
        work: decodes one of them.
        captures: the captures, each with its files.
        form: how their outputs are put together: text, jsonl or csv; not used with `targets`.
        output: where to, or None for stdout; not used with `targets`.
        targets: a file for each capture, or None to put all of them together.
        jobs: processes at most; None for one per core.
    """
    with tempfile.TemporaryDirectory(prefix="m43-") as scratch:
        files = targets or [Path(scratch) / f"{index}" for index in range(len(captures))]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        with _done(work, captures, files, jobs) as done:
            if targets is not None:
                return max([_tell(*one) for one in done])
            with open_output(output) as stream:
                codes = [_tell(group, told) for group, told in _joined(done, files, form, stream)]
    return max(codes)


def _joined(
    done: Iterator[tuple[tuple[Path, ...], _Told]], files: Sequence[Path], form: str, stream: TextIO
) -> Iterator[tuple[tuple[Path, ...], _Told]]:
    for index, ((group, told), file) in enumerate(zip(done, files, strict=True)):
        if file.exists():
            with file.open(encoding="utf-8", newline="") as part:
                _JOINS[form](part, stream, str(group[0]), index == 0)
            file.unlink()
        yield group, told


def _join_text(part: TextIO, stream: TextIO, capture: str, first: bool) -> None:
    stream.write(f"{'' if first else chr(10)}== {capture}\n")
    shutil.copyfileobj(part, stream)


def _join_jsonl(part: TextIO, stream: TextIO, capture: str, first: bool) -> None:
    key = f'{{"capture": {json.dumps(capture, ensure_ascii=False)}, '
    stream.writelines(key + line[1:] for line in part)


def _join_csv(part: TextIO, stream: TextIO, capture: str, first: bool) -> None:
    cell = '"' + capture.replace('"', '""') + '"' if any(char in capture for char in ',"\n\r') else capture
    for index, line in enumerate(part):
        if index or first:
            stream.write(f"{cell if index else 'capture'},{line}")


_JOINS: dict[str, Callable[[TextIO, TextIO, str, bool], None]] = {
    "text": _join_text,
    "jsonl": _join_jsonl,
    "csv": _join_csv,
}


def _tell(group: tuple[Path, ...], told: _Told) -> int:
    """Hand on what one capture said; return its exit code."""
    for line in told.notes.splitlines():
        text = line.removeprefix("m43: ")
        click.echo(f"m43: {text if text.startswith(str(group[0])) else f'{group[0]}: {text}'}", err=True)
    return told.code


@contextmanager
def _done(
    work: Work, captures: Sequence[tuple[Path, ...]], files: Sequence[Path], jobs: int | None
) -> Iterator[Iterator[tuple[tuple[Path, ...], _Told]]]:
    """Give what became of each capture, in their order, as soon as it is known."""
    context = multiprocessing.get_context("spawn")
    shares, stop = context.Array("d", len(captures), lock=False), context.Event()
    workers = min(jobs or os.cpu_count() or 1, len(captures))
    title = f"{len(captures)} captures"
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(shares, stop))
    with progress_on_stderr(title) as progress, pool:
        try:
            with interrupts_held():
                futures = [
                    pool.submit(_do, work, index, group, file)
                    for index, (group, file) in enumerate(zip(captures, files, strict=True))
                ]
            yield _in_order(
                futures, captures, lambda: progress.update(title, sum(shares) / len(captures)), progress.hide
            )
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _in_order(
    futures: list[Future[_Told]],
    captures: Sequence[tuple[Path, ...]],
    look: Callable[[], None],
    hide: Callable[[], None],
) -> Iterator[tuple[tuple[Path, ...], _Told]]:
    for group, future in zip(captures, futures, strict=True):
        while not future.done():
            wait([future], LOOK_S, FIRST_COMPLETED)
            look()
        hide()
        yield group, _result(future)


def _result(future: Future[_Told]) -> _Told:
    try:
        return future.result()
    except BrokenProcessPool:
        return _Told(EXIT_BAD, "the process that decoded it, or one beside it, was ended from outside; try --jobs 1\n")
