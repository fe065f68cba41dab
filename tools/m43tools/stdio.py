"""The line protocol of specs/8-lockstep.md on standard input and output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from m43drivers.simulator.lockstep import lines_of, serve

if TYPE_CHECKING:
    from m43drivers.simulator.lockstep import Lockstep

__all__ = ["serve_stdio"]


def serve_stdio(lockstep: Lockstep) -> None:
    """Hold a session until the other side closes standard input.

    Raises:
        BrokenPipeError: the other side reads no answers any more.
    """
    serve(lockstep, lines_of(sys.stdin.buffer), _write)


def _write(answer: str) -> None:
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()
