"""One end in lockstep with a simulator of hardware descriptions, whichever it is.

Such a simulator shows lines as logic values, of which some are neither 0 nor 1, and counts its time in steps of its
own. `Coupling` stands between it and a `Lockstep`; `m43drivers.simulator.for_cocotb` puts that to work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from m43drivers.simulator.lockstep import LockstepError
from m43proto.pins import LINES, Line

if TYPE_CHECKING:
    from m43drivers.simulator.lockstep import Lockstep

__all__ = ["Coupling", "Drive", "levels_of", "steps_per_ns"]

_LEVELS = {"0": 0, "L": 0, "1": 1, "H": 1, "Z": None}
_NANOSECOND = -9


class Drive(NamedTuple):
    """What an end drives from now on, and how long it waits.

    Attributes:
        level: levels of the lines that it drives, one bit per line in the order of `LINES`.
        driven: mask of those lines.
        wait_steps: steps of the simulator's time until it will act by itself, at least 1; None for never.
    """

    level: int
    driven: int
    wait_steps: int | None


class Coupling:
    """A lockstep and the lines of a simulator.

    Args:
        lockstep: the end.
        steps_per_ns: how many steps of the simulator's time a nanosecond has.
        start_steps: the simulator's time; what the end does before it by itself is done then.

    Attributes:
        unclear: times in nanoseconds at which a line began to be neither low nor high nor released, and the line: two
            drive it against each other, or its driver has no level yet. To the end such a line is low.
    """

    def __init__(self, lockstep: Lockstep, steps_per_ns: int, start_steps: int = 0) -> None:
        self._lockstep = lockstep
        self._steps_per_ns = steps_per_ns
        self._unclear: set[Line] = set()
        self.unclear: list[tuple[int, Line]] = []
        while lockstep.next_ns is not None and lockstep.next_ns < start_steps // steps_per_ns:
            lockstep.step(lockstep.next_ns)

    def step(self, now_steps: int, shown: str) -> Drive:
        """Let the time come to `now_steps`, when the lines are as shown.

        Args:
            now_steps: the simulator's time. The end lives in whole nanoseconds: it sees an edge as if at the nanosecond
                that has begun, and acts at the first step of one.
            shown: seven logic values, SHUTTER first and CLK last: what is on the lines, whoever drives them.

        Raises:
            LockstepError: the time goes back, or past the time at which this end was to act.
        """
        now_ns = now_steps // self._steps_per_ns
        _, next_ns = self._lockstep.step(now_ns, self._theirs(now_ns, shown))
        while next_ns is not None and next_ns <= now_ns:
            _, next_ns = self._lockstep.step(now_ns)
        ours = self._lockstep.outputs
        return Drive(
            level=sum(line.mask for line, level in ours.items() if level),
            driven=sum(line.mask for line, level in ours.items() if level is not None),
            wait_steps=None if next_ns is None else next_ns * self._steps_per_ns - now_steps,
        )

    def _theirs(self, now_ns: int, shown: str) -> dict[Line, int | None]:
        """Return what the other side drives: of a line that this end drives, the lines do not tell."""
        values = _by_line(shown)
        unclear = {line for line, value in values.items() if value not in _LEVELS}
        self.unclear += [(now_ns, line) for line in LINES if line in unclear - self._unclear]
        self._unclear = unclear
        ours = self._lockstep.outputs
        return {line: None if ours.get(line) is not None else _LEVELS.get(value) for line, value in values.items()}


def levels_of(shown: str) -> int:
    """Return the levels of the lines for an observer, one bit per line in the order of `LINES`; released is low.

    Args:
        shown: seven logic values, SHUTTER first and CLK last.
    """
    return sum(line.mask for line, value in _by_line(shown).items() if _LEVELS.get(value))


def steps_per_ns(precision: int) -> int:
    """Return how many steps of a simulator's time a nanosecond has.

    Args:
        precision: the power of ten of a second that one step is: -9 for nanoseconds, -12 for picoseconds.

    Raises:
        LockstepError: the steps are longer than a nanosecond.
    """
    if precision > _NANOSECOND:
        raise LockstepError(
            f"the simulator counts in steps of 1e{precision} s, the lockstep in nanoseconds;"
            " give it a finer precision, such as `timescale 1ns/1ns"
        )
    return int(10 ** (_NANOSECOND - precision))


def _by_line(shown: str) -> dict[Line, str]:
    return dict(zip(LINES, reversed(shown.upper()), strict=True))
