"""Things in a lens that move: where they are at any time, given when they were told what.

Positions are in counts or steps of the wire, times in integer nanoseconds. A motion is a trapezoid: it speeds up, runs,
and slows down; told a new target on its way, it starts anew from where it is, at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

__all__ = ["Motion", "Motor"]


@dataclass(frozen=True, slots=True)
class Motion:
    """One motion.

    Attributes:
        start: where it begins.
        target: where it ends.
        t_ns: when it begins.
        speed: highest speed, per second.
        acceleration: per second squared, up and down.
    """

    start: float
    target: float
    t_ns: int
    speed: float
    acceleration: float

    @property
    def way(self) -> float:
        """How far it goes."""
        return abs(self.target - self.start)

    @property
    def _ramp(self) -> float:
        """The way in which it reaches its speed, or half of a motion that is too short to."""
        return min(self.speed**2 / (2 * self.acceleration), self.way / 2)

    @property
    def duration_s(self) -> float:
        """How long it takes."""
        ramps_s = 2 * sqrt(2 * self._ramp / self.acceleration)
        return ramps_s + (self.way - 2 * self._ramp) / self.speed

    def at(self, now_ns: int) -> float:
        """Return where it is."""
        elapsed_s = (now_ns - self.t_ns) / 1e9
        left_s = self.duration_s - elapsed_s
        if elapsed_s <= 0:
            return self.start
        if left_s <= 0:
            return self.target
        ramp_s = sqrt(2 * self._ramp / self.acceleration)
        if elapsed_s < ramp_s:
            gone = self.acceleration * elapsed_s**2 / 2
        elif left_s < ramp_s:
            gone = self.way - self.acceleration * left_s**2 / 2
        else:
            gone = self._ramp + (elapsed_s - ramp_s) * self.speed
        return self.start + gone * (1 if self.target > self.start else -1)

    def done(self, now_ns: int) -> bool:
        """Tell whether it has ended."""
        return now_ns - self.t_ns >= self.duration_s * 1e9


@dataclass(slots=True)
class Motor:
    """A motor that moves a load between two end stops, with some play between them.

    The shaft may stand anywhere from the load to `backlash` above it. So the load stays where it is while a shaft that
    turns round takes up the play.

    Attributes:
        low: lower end stop of the load.
        high: upper end stop of the load.
        backlash: the play.
        motion: the last motion of the shaft.
        held: where the load was when that motion began.
    """

    low: float
    high: float
    backlash: float
    motion: Motion
    held: float

    @classmethod
    def resting(
        cls, position: float, low: float, high: float, *, speed: float, acceleration: float, backlash: float = 0.0
    ) -> Motor:
        """Return a motor at rest that was last moving down."""
        return cls(low, high, backlash, Motion(position, position, 0, speed, acceleration), position)

    def position(self, now_ns: int) -> float:
        """Return where the load is."""
        shaft = self.motion.at(now_ns)
        return min(max(self.held, shaft - self.backlash), shaft)

    def moving(self, now_ns: int) -> bool:
        """Tell whether the shaft turns."""
        return not self.motion.done(now_ns)

    def drive(self, target: float, now_ns: int) -> None:
        """Move the load there, or to the end stop before it."""
        self.held = self.position(now_ns)
        wanted = min(max(target, self.low), self.high)
        here = self.motion.at(now_ns)
        play = self.backlash if wanted > self.held else 0.0
        shaft = here if wanted == self.held else wanted + play
        self.motion = Motion(here, shaft, now_ns, self.motion.speed, self.motion.acceleration)
