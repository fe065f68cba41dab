"""Where output goes: a file that appears whole or not at all, and progress that keeps out of the way."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from m43proto.errors import M43Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "PATIENCE_S",
    "OutputError",
    "Progress",
    "open_binary_output",
    "open_output",
    "progress_on_stderr",
    "whole_lines",
]


PATIENCE_S = 1.0
"""Work that takes longer than this shows a progress bar."""


class OutputError(M43Error):
    """Output cannot be written; the text names the file and the reason."""


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Give a text stream: stdout without a path, else a file that is put in place only when all went well.

    A path that exists and is no regular file (a pipe, a device) is written to directly.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with open_binary_output(path) as binary:
        stream = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        try:
            yield stream
        finally:
            stream.detach()


@contextmanager
def open_binary_output(path: Path | None) -> Iterator[BinaryIO]:
    """Give a stream of bytes, as `open_output` gives one of text.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    writing = _written_directly if path.exists() and not path.is_file() else _appearing
    try:
        with writing(path) as stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None


@contextmanager
def _written_directly(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as stream:
        yield stream


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with open(handle, "wb") as stream:
            yield stream
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def whole_lines() -> Iterator[None]:
    """Put Ctrl-C off until what is being written is written; a second one does not wait.

    A write that a signal interrupts may end within a line.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def put_off(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, put_off)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


class Progress:
    """Progress that nobody sees: the form for a stderr that is no terminal."""

    def update(self, stage: str, fraction: float) -> None:
        """Take note that this share of a stage is done, 0 to 1."""

    def hide(self) -> None:
        """Clear the terminal for a line of output; the next `update` draws again."""


class _Bars(Progress):
    """Bars on stderr."""

    def __init__(self, stages: tuple[str, ...], clock: Callable[[], float]) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars

        self._bars = Bars(console=Console(stderr=True), transient=True)
        self._tasks = {stage: self._bars.add_task(stage, total=1.0) for stage in stages}
        self._clock = clock
        self._began = clock()
        self._shown = False

    def update(self, stage: str, fraction: float) -> None:
        self._bars.update(self._tasks[stage], completed=fraction)
        if not self._shown and self._clock() - self._began > PATIENCE_S:
            self._bars.start()
            self._shown = True

    def hide(self) -> None:
        if self._shown:
            self._bars.stop()
            self._shown = False


@contextmanager
def progress_on_stderr(*stages: str, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Give progress bars that appear once work has taken longer than `PATIENCE_S`, on a terminal only.

    Args:
        stages: what is done, in order.
        clock: seconds; for tests.
    """
    progress = _Bars(stages, clock) if sys.stderr.isatty() else Progress()
    try:
        yield progress
    finally:
        progress.hide()
