"""A simulated lens: a small mechanical model behind the protocol."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from m43drivers.simulator.mechanics import Motor
from m43proto.encodings import DISTANCE, F_NUMBER, nearest
from m43proto.ends import Answer
from m43proto.messages import Drive, Identify, Initialise, LinkCapability, ReadLensData, SetFocusRing, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.simulator.profiles import Profile

__all__ = ["LENS_DATA_SIZE", "SimulatedLens"]

LENS_DATA_SIZE = 2238
"""Bytes that ReadLensData answers: the length word 2239 is on record, the content is not (BELL@0b15280)."""

_LONGEST_DISTANCE_M = DISTANCE.decode(0xFFFE)
_ENABLE_DRIVE_NS = 2_400_000
_IRIS_ACCELERATION = 400_000.0


class SimulatedLens:
    """A lens whose focus and iris really move; the `Glass` behind the pins of a `PinLens`.

    Args:
        profile: which lens.

    Attributes:
        focus: the focus motor, in counts.
        iris: the iris, in aperture words (Av x 256).
        zoom_step: where the zoom ring stands; turn it with `turn_zoom`.
        ring_direction: how the focus follows the focus ring.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.zoom_step = 0
        self.ring_direction: int | str = "forward"
        self.focus = Motor.resting(
            profile.rest,
            profile.near,
            max(profile.infinity, profile.rest) + _beyond(profile),
            speed=profile.focus_speed,
            acceleration=profile.focus_acceleration,
            backlash=profile.focus_backlash,
        )
        widest = profile.widest_at(0)
        self._wanted_av = float(widest)
        self.iris = Motor.resting(
            widest, widest, profile.smallest_av, speed=profile.iris_speed, acceleration=_IRIS_ACCELERATION
        )
        self._answers: dict[bytes, Callable[[bytes, int], Answer]] = {
            Initialise.spec.opcode: self._initialise,
            LinkCapability.spec.opcode: self._link_capability,
            Identify.spec.opcode: self._identify,
            Status.spec.opcode: self._status,
            ReadLensData.spec.opcode: self._lens_data,
            SetFocusRing.spec.opcode: self._set_focus_ring,
            bytes.fromhex("b188"): lambda command, now_ns: Answer(busy_ns=_ENABLE_DRIVE_NS),
        }

    # what a hand does

    def turn_zoom(self, step: int, now_ns: int) -> None:
        """Turn the zoom ring; the lens keeps the aperture that was set, as far as it opens."""
        self.zoom_step = min(max(step, 0), self.profile.zoom_steps)
        self._drive_iris(now_ns)

    def turn_focus_ring(self, counts: int, now_ns: int) -> None:
        """Turn the focus ring."""
        way = -counts if self.ring_direction == "reverse" else counts
        self.focus.drive(self.focus.position(now_ns) + way, now_ns)

    # what the pins ask

    def answer(self, command: bytes, now_ns: int) -> Answer:
        """Return what the lens says to a command; an empty block to one that it does not know."""
        known = self._answers.get(command[:2])
        return known(command, now_ns) if known else Answer()

    def take(self, command: bytes, block: bytes, now_ns: int) -> None:
        """Take what the body writes; only drives mean anything to this lens."""
        if command[:2] == Drive.spec.opcode and len(command[2:] + block) == Drive.spec.size:
            self._drive(Drive.parse(command[2:] + block), now_ns)

    def _drive(self, drive: Drive, now_ns: int) -> None:
        if drive.aperture_operation == "set":
            self._wanted_av = F_NUMBER.encode(drive.aperture_f)
            self._drive_iris(now_ns)
        if drive.focus_operation in ("move", "scan"):
            self.focus.drive(drive.focus_target, now_ns)

    def _drive_iris(self, now_ns: int) -> None:
        self.iris.low = self.profile.widest_at(self.zoom_step)
        self.iris.drive(self._wanted_av, now_ns)

    # answers

    def status(self, now_ns: int) -> Status:
        """Return the status as the lens would report it at this time."""
        profile = self.profile
        position = nearest(self.focus.position(now_ns))
        return Status(
            flags=profile.flags,
            zoom_step=self.zoom_step,
            unknown_5=bytes([position & 0xFF]),
            focus_distance_m=_reportable(profile.distance_m(position)),
            aperture_f=F_NUMBER.decode(nearest(self.iris.position(now_ns))),
            unknown_10=profile.scaled_zoom,
            focus_position=position,
            unknown_14=profile.tail,
        )

    def _initialise(self, command: bytes, now_ns: int) -> Answer:
        return Answer(busy_ns=self.profile.initialise_ns)

    def _link_capability(self, command: bytes, now_ns: int) -> Answer:
        return Answer(self.profile.link_capability)

    def _identify(self, command: bytes, now_ns: int) -> Answer:
        lens = self.profile.lens
        identity = Identify(
            maker=lens.maker,
            model=lens.model,
            submodel=lens.submodel,
            serial=self.profile.serial,
            firmware=self.profile.firmware,
        )
        return Answer(identity.block)

    def _status(self, command: bytes, now_ns: int) -> Answer:
        return Answer(self.status(now_ns).block)

    def _lens_data(self, command: bytes, now_ns: int) -> Answer:
        return Answer(bytes(LENS_DATA_SIZE))

    def _set_focus_ring(self, command: bytes, now_ns: int) -> Answer:
        self.ring_direction = SetFocusRing.parse(command[2:]).ring_direction
        return Answer()


def _beyond(profile: Profile) -> int:
    """Return how far the focus goes past infinity: lenses do, and one in twenty counts is this project's guess."""
    return (profile.infinity - profile.near) // 20


def _reportable(distance_m: float) -> float:
    return math.inf if distance_m > _LONGEST_DISTANCE_M else distance_m
