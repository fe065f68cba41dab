"""The process of the ``m43`` command: what is set for all of it, before anything else is imported and behind all."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import threading

__all__ = ["entry_point"]

_THRESHOLD = 20_000
"""Objects after which garbage is looked for: at Python's 700, imports would be searched some 80 times, for nothing."""


def entry_point() -> None:
    """Run as the console script."""
    gc.set_threshold(_THRESHOLD)
    from m43tools.cli import main  # Only now: it would be searched for garbage, too.

    # Nothing here solves equations, and numpy's library for that takes long to start its threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _replace_closed_streams()
    _buffer_stdout()
    _leave(main())


def _leave(code: int) -> None:
    """End the process as `sys.exit` does, but for letting go of all that was imported, piece by piece."""
    from m43tools.cli import EXIT_BAD_INPUT

    if threading.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:  # It has been told, unless this was the first time that so much was written.
        if code < EXIT_BAD_INPUT:
            os.write(2, f"m43: {error}\n".encode())
            code = EXIT_BAD_INPUT
    os._exit(code)


def _replace_closed_streams() -> None:
    """Give a stream that was closed before the program began nothing to read, and nobody to write to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _buffer_stdout() -> None:
    """Give stdout a buffer where `PYTHONUNBUFFERED` took it: without one, Python drops the rest of a cut write."""
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), sys.stdout.encoding, sys.stdout.errors, line_buffering=sys.stdout.isatty()
        )
