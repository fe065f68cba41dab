"""Whether a drive has ended, and where: what successive statuses say (specs/4-session.md §4.5).

Which bit of the status means "moving" is unknown. So a drive has ended when the session calls it settled, and it has
ended well when the value that was driven is then near enough to its target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m43drivers.body.errors import (
    DriveError,
    DriveOvershotError,
    DriveStalledError,
    DriveSupersededError,
    DriveTimeoutError,
)
from m43proto.encodings import F_NUMBER
from m43proto.session import SETTLED_POLLS, TIMEOUTS, Wait

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from m43drivers.body.errors import LensError
    from m43drivers.body.status import LensStatus

__all__ = ["APERTURE", "APERTURE_TOLERANCE_AV", "FOCUS", "FOCUS_TOLERANCE", "SCANNED_NS", "Driven", "Drives", "Watch"]

APERTURE_TOLERANCE_AV = 1 / 6
"""How far from its target an aperture may come to rest (Av; provisional): lenses move in steps of up to 1/3 Av."""

FOCUS_TOLERANCE = 3
"""How far from its target the focus may come to rest (counts; provisional)."""

_REST_NS = TIMEOUTS[Wait.REST].limit_ns

SCANNED_NS = 100_000_000
"""How long a drive without a target must have stood still, elsewhere than before, to have ended (provisional).

Longer than a lens stands still while it takes up the play of its gears to turn round.
"""


@dataclass(frozen=True, slots=True)
class Driven:
    """What can be driven.

    Attributes:
        name: what to call it in an error.
        value: what a status says of it, on a scale on which differences count.
        tolerance: how far from the target is near enough, on that scale.
        shown: a value of that scale for a person.
    """

    name: str
    value: Callable[[LensStatus], float | None]
    tolerance: float
    shown: Callable[[float], str]


def _av(status: LensStatus) -> float | None:
    return None if status.aperture_f is None else F_NUMBER.encode(status.aperture_f) / 256


APERTURE = Driven("aperture", _av, APERTURE_TOLERANCE_AV, lambda av: f"f/{2 ** (av / 2):.3g}")
FOCUS = Driven("focus", lambda status: status.focus_position, FOCUS_TOLERANCE, lambda counts: f"position {counts:g}")


class Watch:
    """Watches one drive.

    Args:
        driven: what is driven.
        target: where to; None for wherever the lens comes to rest, such as an end stop.
        start: the status before the drive, or None.
    """

    def __init__(self, driven: Driven, target: float | None, start: LensStatus | None) -> None:
        self.driven = driven
        self.target = target
        self.start = start
        self._start = None if start is None else driven.value(start)
        self._first_ns: int | None = None
        self._last: float | None = None
        self._since_ns: int | None = None
        self._alike = 0

    def take(self, status: LensStatus) -> DriveError | bool:
        """Take one more status; return whether the drive has ended, or the error in which it ended."""
        self._first_ns = status.t_ns if self._first_ns is None else self._first_ns
        if status.t_ns - self._first_ns >= TIMEOUTS[Wait.DRIVE].limit_ns:
            return DriveTimeoutError(f"the {self.driven.name} has not come to rest in time", status)
        here = self.driven.value(status)
        if here is None:
            return False
        if here != self._last or self._since_ns is None:
            self._last, self._since_ns, self._alike = here, status.t_ns, 0
        self._alike += 1
        if self._alike < SETTLED_POLLS:
            return False
        if self.target is None:
            return self._stood_ns(status) >= (SCANNED_NS if here != self._start else _REST_NS)
        if abs(here - self.target) <= self.driven.tolerance:
            return True
        return self._missed(here, status) if self._stood_ns(status) >= _REST_NS else False

    def _stood_ns(self, status: LensStatus) -> int:
        """Return for how long it has stood still."""
        assert self._since_ns is not None
        return status.t_ns - self._since_ns

    def _missed(self, here: float, status: LensStatus) -> DriveError:
        assert self.target is not None
        shown = self.driven.shown
        behind = self._start is not None and (here - self.target) * (self.target - self._start) > 0
        kind = DriveOvershotError if behind else DriveStalledError
        where = "behind" if behind else "short of"
        return kind(f"{self.driven.name} stands at {shown(here)}, {where} {shown(self.target)}", status)


class Drives:
    """The drives that go on, at most one of each kind, each with a future for whoever waits."""

    def __init__(self) -> None:
        self._going: dict[Driven, tuple[Watch, asyncio.Future[LensStatus]]] = {}

    def __bool__(self) -> bool:
        return bool(self._going)

    def begin(self, watch: Watch, done: asyncio.Future[LensStatus]) -> None:
        """Watch a drive; it takes the place of another of its kind."""
        self.supersede(watch.driven, watch.start)
        self._going[watch.driven] = watch, done

    def supersede(self, driven: Driven, status: LensStatus | None) -> None:
        """End a drive of this kind, if there is one: another has taken its place."""
        _, done = self._going.pop(driven, (None, None))
        if done is not None:
            _fail(done, DriveSupersededError(f"another {driven.name} drive took its place", status))

    def forget(self, driven: Driven) -> None:
        """Watch a drive no more."""
        self._going.pop(driven, None)

    def take(self, status: LensStatus) -> None:
        """Take a status; end the drives that end in it."""
        for driven, (watch, done) in list(self._going.items()):
            ended = watch.take(status)
            if ended is False:
                continue
            del self._going[driven]
            if isinstance(ended, DriveError):
                _fail(done, ended)
            elif not done.done():
                done.set_result(status)

    def fail(self, error: LensError) -> None:
        """End all drives with an error."""
        for _, done in self._going.values():
            _fail(done, error)
        self._going.clear()


def _fail(done: asyncio.Future[LensStatus], error: LensError) -> None:
    """Give whoever waits an error; nobody needs to."""
    if not done.done():
        done.set_exception(error)
        done.exception()
