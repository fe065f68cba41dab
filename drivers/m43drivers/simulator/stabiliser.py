"""A small model of an optical stabiliser, for the placeholder messages of specs/5-messages.md §5.8.

All of it is made up (provisional): nothing about stabilisation on the wire is public. The lens shakes by a sum of
sines, the same at every run; the corrector moves against it, as far as it reaches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from m43proto.messages import SetStabilisation, StabilisationStatus

__all__ = ["Shake", "Stabilisation", "Stabiliser"]

_SINES_HZ_DEG = ((0.7, 0.20), (2.3, 0.10), (6.1, 0.03))


@dataclass(frozen=True, slots=True)
class Stabilisation:
    """The stabiliser of a profile, as data.

    Attributes:
        start_ns: how long the corrector takes to come into action, and to come to rest.
        travel_mm: how far it shifts the picture at most, either way.
        shake_seed: which hand shakes the lens.
    """

    start_ns: int = 200_000_000
    travel_mm: float = 0.12
    shake_seed: int = 1


class Shake:
    """How a hand shakes the lens: two sums of sines whose phases follow from a seed.

    Args:
        seed: which hand.
    """

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self._axes = [[(hz, deg, random.uniform(0, math.tau)) for hz, deg in _SINES_HZ_DEG] for _ in range(2)]

    def at(self, now_ns: int) -> tuple[float, float]:
        """Return pitch and yaw in degrees."""
        pitch, yaw = (
            sum(deg * math.sin(math.tau * hz * now_ns / 1e9 + phase) for hz, deg, phase in axis) for axis in self._axes
        )
        return pitch, yaw


_AXES = {"off": (0, 0), "all-axes": (1, 1), "vertical-pan": (0, 1), "horizontal-pan": (1, 0), "auto": (1, 1)}
"""Which of pitch and yaw a mode corrects: not the one along which the body pans."""

_SHARE = {"lens": 1.0, "body": 0.0, "both": 0.5}
"""How much of the shake is left to the lens."""


class Stabiliser:
    """The stabiliser of a simulated lens.

    Args:
        data: its figures.
        focal_length_mm: what it reckons with until the body tells.
    """

    def __init__(self, data: Stabilisation, focal_length_mm: float) -> None:
        self._data = data
        self._shake = Shake(data.shake_seed)
        self._setting = SetStabilisation(mode="off", corrector="lens", focal_length_mm=focal_length_mm)
        self._axes = (0, 0)
        self._share = 0.0
        self._changed_ns = 0
        self._gain_then = 0.0

    def set(self, setting: SetStabilisation, now_ns: int) -> None:
        """Take a setting; one with a mode or a corrector that nobody has named, or no focal length, changes nothing."""
        if setting.mode not in _AXES or setting.corrector not in _SHARE or not setting.focal_length_mm:
            return
        self._gain_then, self._changed_ns = self._gain(now_ns), now_ns
        self._setting = setting
        if self._wanted:
            self._axes, self._share = _AXES[str(setting.mode)], _SHARE[str(setting.corrector)]

    @property
    def limit_deg(self) -> float:
        """How far the corrector reaches at the focal length that it reckons with."""
        return math.degrees(math.atan(self._data.travel_mm / self._setting.focal_length_mm))

    def status(self, now_ns: int) -> StabilisationStatus:
        """Return what it does at this time."""
        gain, limit_deg = self._gain(now_ns), self.limit_deg
        asked = [-turn * on * self._share for turn, on in zip(self._shake.at(now_ns), self._axes, strict=True)]
        pitch, yaw = (gain * min(max(angle, -limit_deg), limit_deg) for angle in asked)
        return StabilisationStatus(
            mode=self._setting.mode,
            state=self._state(gain, at_limit=max(map(abs, asked)) > limit_deg),
            pitch_offset_deg=pitch,
            yaw_offset_deg=yaw,
        )

    @property
    def _wanted(self) -> bool:
        return any(_AXES[str(self._setting.mode)]) and bool(_SHARE[str(self._setting.corrector)])

    def _gain(self, now_ns: int) -> float:
        """Return how much of its correction the corrector gives: it comes into action bit by bit, and out of it."""
        change = (now_ns - self._changed_ns) / self._data.start_ns
        return min(self._gain_then + change, 1.0) if self._wanted else max(self._gain_then - change, 0.0)

    def _state(self, gain: float, *, at_limit: bool) -> str:
        if not gain and not self._wanted:
            return "parked"
        if self._wanted and gain < 1:
            return "starting"
        return "at-limit" if at_limit else "correcting"
