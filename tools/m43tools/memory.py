"""Memory that the C library keeps for later, though nothing needs it any more."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["give_back"]


def give_back() -> None:
    """Give unused memory back to the system, where the C library can do that (glibc).

    What waited in a queue lies in small pieces between others; by itself, glibc gives back only what lies at the end.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    if sys.platform.startswith("linux"):
        import ctypes

        return getattr(ctypes.CDLL(None), "malloc_trim", _keep)
    return _keep


def _keep(pad: int) -> None:
    """Do nothing: this system has its own way."""
