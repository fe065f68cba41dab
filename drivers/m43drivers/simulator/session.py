"""A whole session between a simulated body and a simulated lens, from a script to what an analyser would record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m43drivers.capture.writing import channels_of
from m43drivers.simulator.body import SimulatedBody
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43proto.ends import NEVER
from m43proto.mount import Mount
from m43proto.timing import body_timing, lens_timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from m43drivers.capture.model import Channel
    from m43drivers.simulator.faults import Faults
    from m43drivers.simulator.profiles import Profile
    from m43drivers.simulator.script import BodyScript
    from m43proto.catalogue import Catalogue
    from m43proto.dialects import Dialect
    from m43proto.ends import PinLens
    from m43proto.pins import Line

__all__ = ["Pair", "Recording", "SessionPlan", "paired", "recorded"]

_QUIET_NS = 2_000_000
"""How long the recording goes on behind the last change."""

_CHANGES_PER_TELLING = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """What to simulate.

    Attributes:
        profile: the lens.
        script: what the body does.
        dialect: how the body starts and polls the lens.
        faults: what the lens does wrong.
        catalogue: which messages both know.
        body_timing: name of the body's timing.
        lens_timing: name of the lens's timing.
        seed: of timings that vary.
    """

    profile: Profile
    script: BodyScript
    dialect: Dialect
    faults: Faults
    catalogue: Catalogue
    body_timing: str
    lens_timing: str
    seed: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A session that was simulated.

    Attributes:
        channels: the lines, as channels.
        end_ns: its length in nanoseconds.
        body: the body, with what it saw.
        lens: the lens behind the pins, as it was left.
        contention_ns: when two ends began to drive a line against each other.
    """

    channels: tuple[Channel, ...]
    end_ns: int
    body: SimulatedBody
    lens: SimulatedLens
    contention_ns: tuple[int, ...]


class _LensHand:
    """A hand on a simulated lens."""

    def __init__(self, lens: SimulatedLens, pins: PinLens) -> None:
        self.turn_zoom = lens.turn_zoom
        self.turn_focus_ring = lens.turn_focus_ring
        self._pins = pins
        self.mount: Mount | None = None

    def yank(self) -> None:
        """Take the lens away, once."""
        assert self.mount is not None
        self.mount.unplug(self._pins)


@dataclass(frozen=True, slots=True)
class Pair:
    """A body and a lens on one set of lines.

    Attributes:
        mount: the lines.
        body: the body.
        lens: the lens behind the pins.
    """

    mount: Mount
    body: SimulatedBody
    lens: SimulatedLens


def paired(plan: SessionPlan) -> Pair:
    """Return the two ends of a session, which has not begun."""
    lens = SimulatedLens(plan.profile, plan.faults, plan.catalogue)
    pins = pin_lens(lens, lens_timing(plan.lens_timing, plan.seed), plan.catalogue.shape_of)
    hand = _LensHand(lens, pins)
    body = SimulatedBody(
        body_timing(plan.body_timing, plan.seed),
        plan.script.run,
        dialect=plan.dialect,
        frame_hz=plan.script.frame_hz,
        attempts=plan.script.attempts,
        catalogue=plan.catalogue,
        hand=hand,
    )
    hand.mount = mount = Mount(body, pins)
    return Pair(mount, body, lens)


def recorded(
    plan: SessionPlan,
    *,
    lines: Sequence[Line],
    names: Sequence[str],
    end_ns: int = NEVER,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Recording:
    """Simulate a session and return what an analyser that sees every nanosecond would have recorded.

    Args:
        plan: what to simulate.
        lines: the lines that are recorded, in the order of the channels.
        names: what to call them.
        end_ns: when to stop at the latest, in nanoseconds.
        progress: called now and then with the fraction that is done, as far as the script tells.
    """
    pair = paired(plan)
    mount = pair.mount
    changes = _telling(mount.run(end_ns), min(plan.script.lasts_ns, end_ns), progress)
    channels = channels_of(changes, lines=lines, names=names)
    return Recording(channels, min(mount.now_ns + _QUIET_NS, end_ns), pair.body, pair.lens, tuple(mount.contention_ns))


def _telling(
    changes: Iterator[tuple[int, int]], lasts_ns: int, progress: Callable[[float], None]
) -> Iterator[tuple[int, int]]:
    for number, change in enumerate(changes):
        if number % _CHANGES_PER_TELLING == 0:
            progress(min(change[0] / lasts_ns, 1.0) if lasts_ns else 0.0)
        yield change
