"""Ctrl-C while processes are started: it is this process's business alone."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["interrupts_held"]


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold SIGINT back; one that comes meanwhile is delivered at the end.

    A terminal sends it to every process of the group. One that is started in here inherits the mask, so that it does
    not come to its end by itself, with a traceback, before it can say that it does not want to. Where signals have no
    masks, nothing is held.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
