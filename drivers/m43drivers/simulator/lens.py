"""A simulated lens: a small mechanical model behind the protocol."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from m43drivers.simulator.faults import NO_FAULTS, bent_answer, bent_focus, bent_iris, bent_status
from m43drivers.simulator.mechanics import Motor
from m43drivers.simulator.stabiliser import Stabiliser
from m43proto.encodings import DISTANCE, F_NUMBER, nearest
from m43proto.ends import Answer
from m43proto.messages import (
    PUBLIC,
    Drive,
    EnableDrive,
    Identify,
    Initialise,
    LinkCapability,
    ReadLensData,
    SetFocusRing,
    SetStabilisation,
    StabilisationStatus,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43drivers.simulator.faults import Faults
    from m43drivers.simulator.profiles import Profile
    from m43proto.catalogue import Catalogue

__all__ = ["LENS_DATA_SIZE", "SimulatedLens"]

LENS_DATA_SIZE = 2238
"""Bytes that ReadLensData answers: the length word 2239 is on record, the content is not (BELL@0b15280)."""

_LONGEST_DISTANCE_M = DISTANCE.decode(0xFFFE)


class SimulatedLens:
    """A lens whose focus and iris really move; the `Glass` behind the pins of a `PinLens`.

    Args:
        profile: which lens.
        faults: what it does wrong; those of the pins need a lens that `m43drivers.simulator.pins.pin_lens` makes.
        catalogue: which commands it knows; stabilisation is in the provisional catalogue only.

    Attributes:
        transactions: how many commands it has answered.
        focus: the focus motor, in counts.
        iris: the opening of the iris, as the aperture word (Av x 256) that it makes at the wide end.
        zoom_step: where the zoom ring stands; turn it with `turn_zoom`.
        ring_direction: how the focus follows the focus ring.
        stabiliser: what steadies the picture, or None.
        touched: called when a hand turns a ring.
    """

    def __init__(self, profile: Profile, faults: Faults = NO_FAULTS, catalogue: Catalogue = PUBLIC) -> None:
        self.profile = profile
        self.faults = faults
        self.transactions = 0
        self.zoom_step = 0
        self.ring_direction: int | str = "forward"
        self.touched: Callable[[], None] = lambda: None
        self.focus = Motor.resting(
            profile.rest,
            profile.near,
            max(profile.infinity, profile.rest) + _beyond(profile),
            speed=profile.focus_speed,
            acceleration=profile.focus_acceleration,
            backlash=profile.focus_backlash,
        )
        widest = profile.widest_at(0)
        self.iris = Motor.resting(
            widest, widest, profile.smallest_av, speed=profile.iris_speed, acceleration=profile.iris_acceleration
        )
        self.stabiliser: Stabiliser | None = None
        if profile.stabilisation is not None:
            self.stabiliser = Stabiliser(profile.stabilisation, profile.lens.focal_min_mm)
        self._wanted_av = widest
        self._focus_target = profile.rest
        self._answers = {opcode: tell for opcode, tell in self._known_answers() if catalogue.find(opcode)}
        self._takes = {opcode: take for opcode, take in self._known_blocks() if catalogue.find(opcode)}

    def _known_answers(self) -> Iterator[tuple[bytes, Callable[[bytes, int], Answer]]]:
        yield Initialise.spec.opcode, self._initialise
        yield LinkCapability.spec.opcode, self._link_capability
        yield Identify.spec.opcode, self._identify
        yield Status.spec.opcode, self._status
        yield ReadLensData.spec.opcode, self._lens_data
        yield SetFocusRing.spec.opcode, self._set_focus_ring
        yield EnableDrive.spec.opcode, self._enable_drive
        if self.stabiliser is not None:
            yield StabilisationStatus.spec.opcode, partial(self._stabilisation_status, self.stabiliser)

    def _known_blocks(self) -> Iterator[tuple[bytes, Callable[[bytes, int], None]]]:
        yield Drive.spec.opcode, self._drive
        if self.stabiliser is not None:
            yield SetStabilisation.spec.opcode, partial(self._set_stabilisation, self.stabiliser)

    # what a hand does

    def turn_zoom(self, step: int, now_ns: int) -> None:
        """Turn the zoom ring, or work the lever of a power zoom.

        The iris keeps its opening, which makes another aperture at another focal length; so the lens drives it again,
        to the aperture that was set, as far as it opens there.
        """
        self.zoom_step = min(max(step, 0), self.profile.zoom_steps)
        self._drive_iris(now_ns)
        self.touched()

    def turn_focus_ring(self, counts: int, now_ns: int) -> None:
        """Turn the focus ring; the focus follows by so many counts, the way that the body has set."""
        way = -counts if self.ring_direction == "reverse" else counts
        self._drive_focus(nearest(self.focus.target) + way, now_ns)
        self.touched()

    def at_rest(self, now_ns: int) -> bool:
        """Tell whether its status stays as it is, unless somebody tells it or turns something."""
        return not self.focus.moving(now_ns) and not self.iris.moving(now_ns)

    # what the pins ask

    def answer(self, command: bytes, now_ns: int) -> Answer:
        """Return what the lens says to a command; an empty block to one that it does not know."""
        self.transactions += 1
        known = self._answers.get(command[:2])
        answer = known(command, now_ns) if known else Answer()
        return bent_answer(self.faults, self.transactions, command, answer)

    def take(self, command: bytes, block: bytes, now_ns: int) -> None:
        """Take what the body writes; a block that is unknown or has another size than declared changes nothing."""
        known = self._takes.get(command[:2])
        if known:
            known(command[2:] + block, now_ns)

    def _drive(self, data: bytes, now_ns: int) -> None:
        if len(data) != Drive.spec.size:
            return
        drive = Drive.parse(data)
        if drive.aperture_operation == "set":
            self._wanted_av = F_NUMBER.encode(drive.aperture_f)
            self._drive_iris(now_ns)
        if drive.focus_operation in ("move", "scan"):
            self._drive_focus(drive.focus_target, now_ns)

    def _drive_focus(self, target: int, now_ns: int) -> None:
        focus = self.focus
        self._focus_target = nearest(min(max(target, focus.low), focus.high))
        here = focus.position(now_ns)
        focus.drive(bent_focus(self.faults, self.transactions, here, self._focus_target), now_ns)

    def _drive_iris(self, now_ns: int) -> None:
        """Drive the iris to the opening that makes the wanted aperture at this focal length."""
        profile, iris = self.profile, self.iris
        narrowest = profile.smallest_av - profile.widest_at(self.zoom_step)
        wanted = max(self._wanted_av - profile.widest_at(self.zoom_step), 0)
        target = iris.low + min(nearest(wanted / profile.av_step) * profile.av_step, narrowest)
        iris.drive(bent_iris(self.faults, self.transactions, iris.position(now_ns), target), now_ns)

    def _set_stabilisation(self, stabiliser: Stabiliser, data: bytes, now_ns: int) -> None:
        if len(data) == SetStabilisation.spec.size:
            stabiliser.set(SetStabilisation.parse(data), now_ns)

    # answers

    def aperture_av(self, now_ns: int) -> float:
        """Return the effective aperture as a wire word: the opening of the iris at this focal length."""
        return self.iris.position(now_ns) - self.iris.low + self.profile.widest_at(self.zoom_step)

    def status(self, now_ns: int) -> Status:
        """Return the status as the lens would report it at this time."""
        profile = self.profile
        position = nearest(self.focus.position(now_ns))
        status = Status(
            flags=profile.flags,
            zoom_step=self.zoom_step,
            unknown_5=bytes([position & 0xFF]),
            focus_distance_m=_reportable(profile.distance_m(position)),
            aperture_f=F_NUMBER.decode(nearest(self.aperture_av(now_ns))),
            unknown_10=profile.scaled_zoom,
            focus_position=position,
            unknown_14=profile.tail,
        )
        return bent_status(self.faults, self.transactions, status, self._focus_target)

    def _initialise(self, command: bytes, now_ns: int) -> Answer:
        return Answer(busy_ns=self.profile.initialise_ns)

    def _enable_drive(self, command: bytes, now_ns: int) -> Answer:
        return Answer(busy_ns=self.profile.enable_drive_ns)

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

    def _stabilisation_status(self, stabiliser: Stabiliser, command: bytes, now_ns: int) -> Answer:
        return Answer(stabiliser.status(now_ns).block)


def _beyond(profile: Profile) -> int:
    """Return how far the focus goes past infinity: lenses do, and one in twenty counts is this project's guess."""
    return (profile.infinity - profile.near) // 20


def _reportable(distance_m: float) -> float:
    return math.inf if distance_m > _LONGEST_DISTANCE_M else distance_m
