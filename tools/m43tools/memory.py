"""Memory that the C library keeps for later, or should."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["give_back", "keep"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of `mallopt`'s parameters."""

_KEPT = 1 << 26
"""Bytes at the end of the heap that are not given back."""

_MAPPED = 1 << 25
"""Bytes from which on an array gets pages of its own: the most that glibc takes."""


def give_back() -> None:
    """Give unused memory back to the system, where the C library can do that (glibc).

    What waited in a queue lies in small pieces between others; by itself, glibc gives back only what lies at the end.
    """
    _of_glibc("malloc_trim")(0)


def keep() -> None:
    """Have the C library keep the memory of arrays that are let go of, up to 64 MiB, for the next ones (glibc).

    By itself it gives an array's pages back at once, and the system has to clear others for the next: a tenth of what
    decoding a busy capture takes.
    """
    for parameter, size in ((_TRIM_THRESHOLD, _KEPT), (_MMAP_THRESHOLD, _MAPPED)):
        _of_glibc("mallopt")(parameter, size)


@cache
def _of_glibc(name: str) -> Callable[..., object]:
    if sys.platform.startswith("linux"):
        import ctypes

        return getattr(ctypes.CDLL(None), name, _nothing)
    return _nothing


def _nothing(*arguments: int) -> None:
    """Do nothing: this system has its own way."""
