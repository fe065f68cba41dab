"""Things in a lens that move: where they are at any time, given when they were told what.

Positions are in counts or steps of the wire, times in integer nanoseconds. A motion is a trapezoid: it speeds up, runs,
and slows down. A motor that is told a new target on its way keeps its speed: it goes on if the target lies ahead and
far enough off to stop there, else it first slows down to rest, and then goes there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, copysign, sqrt

__all__ = ["Motion", "Motor"]


@dataclass(frozen=True, slots=True)
class Motion:
    """One motion, always one way.

    Attributes:
        start: where it begins.
        target: where it ends, at rest.
        t_ns: when it begins.
        speed: highest speed, per second.
        acceleration: per second squared, up and down.
        start_speed: how fast it goes towards the target when it begins; no faster than it can stop there from.
    """

    start: float
    target: float
    t_ns: int
    speed: float
    acceleration: float
    start_speed: float = 0.0

    @property
    def way(self) -> float:
        """How far it goes."""
        return abs(self.target - self.start)

    @property
    def _peak(self) -> float:
        """The highest speed that it reaches: less than it may when the way is too short."""
        reachable = sqrt(self.acceleration * self.way + self.start_speed**2 / 2)
        return max(min(self.speed, reachable), self.start_speed)

    @property
    def _phases(self) -> tuple[tuple[float, float, float], ...]:
        """Duration in s, speed at its start and acceleration of each phase: up, run, down."""
        peak, faster = self._peak, self.acceleration
        ramps = (peak**2 - self.start_speed**2 / 2) / faster
        run_s = max(self.way - ramps, 0.0) / peak if peak else 0.0
        up_s = (peak - self.start_speed) / faster
        return (up_s, self.start_speed, faster), (run_s, peak, 0.0), (peak / faster, peak, -faster)

    @property
    def duration_s(self) -> float:
        """How long it takes."""
        return sum(duration_s for duration_s, _, _ in self._phases)

    @property
    def end_ns(self) -> int:
        """When it ends."""
        return self.t_ns + ceil(self.duration_s * 1e9)

    def at(self, now_ns: int) -> float:
        """Return where it is."""
        if now_ns >= self.end_ns:
            return self.target
        gone = min(self._gone(now_ns)[0], self.way)
        return self.start + copysign(gone, self.target - self.start)

    def speed_at(self, now_ns: int) -> float:
        """Return how fast it goes, negative downwards."""
        if now_ns >= self.end_ns:
            return 0.0
        return copysign(self._gone(now_ns)[1], self.target - self.start)

    def _gone(self, now_ns: int) -> tuple[float, float]:
        """Return how far it has come, and how fast it goes."""
        left_s, gone, speed = max(now_ns - self.t_ns, 0) / 1e9, 0.0, self.start_speed
        for duration_s, first, faster in self._phases:
            spent_s = min(left_s, duration_s)
            gone += first * spent_s + faster * spent_s**2 / 2
            speed = max(first + faster * spent_s, 0.0)
            left_s -= spent_s
            if not left_s:
                break
        return gone, speed


@dataclass(slots=True)
class Motor:
    """A motor that moves a load between two end stops, with some play between them.

    The shaft may stand anywhere from the load to `backlash` above it. So the load stays where it is while a shaft that
    turns round takes up the play.

    Attributes:
        low: lower end stop of the load.
        high: upper end stop of the load.
        backlash: the play.
        target: where the load was last told to go, within the end stops.
        motions: the last motions of the shaft, one behind the other, each one way.
        held: where the load was when the first of them began.
    """

    low: float
    high: float
    backlash: float
    target: float
    motions: tuple[Motion, ...]
    held: float

    @classmethod
    def resting(
        cls, position: float, low: float, high: float, *, speed: float, acceleration: float, backlash: float = 0.0
    ) -> Motor:
        """Return a motor at rest that was last moving down."""
        return cls(low, high, backlash, position, (Motion(position, position, 0, speed, acceleration),), position)

    @property
    def arrives_ns(self) -> int:
        """When the shaft comes, or came, to rest."""
        return self.motions[-1].end_ns

    def position(self, now_ns: int) -> float:
        """Return where the load is."""
        load = self.held
        for motion in self.motions:
            if now_ns >= motion.t_ns:
                load = self._dragged(load, motion.at(now_ns))
        return load

    def shaft(self, now_ns: int) -> float:
        """Return where the shaft is."""
        return self._running(now_ns).at(now_ns)

    def moving(self, now_ns: int) -> bool:
        """Tell whether the shaft turns."""
        return now_ns < self.arrives_ns

    def drive(self, target: float, now_ns: int) -> None:
        """Move the load there, or to the end stop before it."""
        running, load = self._running(now_ns), self.position(now_ns)
        here, speed = running.at(now_ns), running.speed_at(now_ns)
        brake = self._motion(here, here + copysign(speed**2 / (2 * running.acceleration), speed), now_ns, abs(speed))
        self.held, self.target = load, min(max(target, self.low), self.high)
        end = self._shaft_for(self.target, self._dragged(load, brake.target), brake.target)
        if (end - brake.target) * speed >= 0:
            self.motions = (self._motion(here, end, now_ns, abs(speed)),)
        else:
            self.motions = (brake, self._motion(brake.target, end, brake.end_ns))

    def _running(self, now_ns: int) -> Motion:
        """Return the motion at hand, or the last one."""
        return next((motion for motion in self.motions if now_ns < motion.end_ns), self.motions[-1])

    def _dragged(self, load: float, shaft: float) -> float:
        """Return where the load is once the shaft has gone one way to here."""
        return min(max(load, shaft - self.backlash), shaft)

    def _shaft_for(self, wanted: float, load: float, shaft: float) -> float:
        """Return where the shaft must go to bring the load where it is wanted."""
        if wanted == load:
            return shaft
        return wanted + self.backlash if wanted > load else wanted

    def _motion(self, start: float, target: float, t_ns: int, start_speed: float = 0.0) -> Motion:
        last = self.motions[-1]
        return Motion(start, target, t_ns, last.speed, last.acceleration, start_speed)
