"""Where a body is tested: the suite plays the lens at its pins."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from m43drivers.simulator.body import SimulatedBody
from m43drivers.simulator.faults import faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43drivers.simulator.script import load_script
from m43proto.ends import PinEnd
from m43proto.messages import PUBLIC
from m43proto.mount import Mount
from m43proto.pins import LINES
from m43proto.shapes import Shape
from m43proto.timing import LENS_TIMINGS, BodyTiming, replaced
from m43tools.conformance.bench import Bench
from m43tools.conformance.operations import MS, Play, Recording, Session, Step
from m43tools.conformance.playing import LENSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43drivers.simulator.script import BodyScript
    from m43proto.catalogue import Catalogue
    from m43proto.ends import Answer
    from m43tools.conformance.operations import Operation
    from m43tools.conformance.playing import PlayedLens

__all__ = ["SCRIPT", "SimBodyBench"]

SCRIPT = "default"
"""What a simulated body does unless the user says otherwise: the name of a script of the simulator."""

_OFF_NS = 100 * MS
"""How long the body is off before each session."""


class SimBodyBench(Bench):
    """A simulated body at the pins, on virtual time; each session begins with a new one, so no case depends on another.

    A bench for a body of metal is another subclass: it drives LENS_ACK and DATA of real contacts, and a person, or a
    machine in the place of one, switches the body on. No bridge of this project can do so.

    Args:
        dialect: how the body starts and polls a lens; None for what its script says.
        script: what it does.
        timing: its delays.
        catalogue: the messages that both know.
        body: what makes it of the arguments of `SimulatedBody`.
        name: how the user named it.
    """

    role = "body"

    def __init__(
        self,
        dialect: str | None = None,
        script: BodyScript | None = None,
        timing: BodyTiming | None = None,
        *,
        catalogue: Catalogue = PUBLIC,
        body: type[SimulatedBody] = SimulatedBody,
        name: str = "",
    ) -> None:
        self._script = script or load_script(SCRIPT)
        self._script.check(catalogue, has_lens=True)
        self._dialect = self._script.dialect_for(dialect)
        self.name = name or f"sim:{self._dialect.name}"
        self._timing = timing or BodyTiming(watches_acks=True)
        self._catalogue = catalogue
        self._make_body = body
        self.fresh()

    def fresh(self) -> None:
        """Begin anew: the body is off, and the lens a good one."""
        self._now_ns = 0
        self._played = LENSES["good"]

    def run(self, operations: Sequence[Operation]) -> Recording:
        """Carry out operations of the kinds `Play` and `Session`."""
        changes: list[tuple[int, int]] = []
        steps = []
        for operation in operations:
            start_ns = self._now_ns
            done = True
            if isinstance(operation, Play):
                self._played = LENSES[operation.name]
            elif isinstance(operation, Session):
                found, done = self._session(operation.limit_ns)
                changes += found
            else:
                raise TypeError(f"a bench that judges a body does not know {type(operation).__name__}")
            steps.append(Step(operation, start_ns, self._now_ns, done))
        return Recording(tuple(changes), self._now_ns, LINES, tuple(steps))

    def _session(self, limit_ns: int) -> tuple[list[tuple[int, int]], bool]:
        """Switch the body on; return the changes of the lines, and whether it came to the end of what it does."""
        start_ns = self._now_ns
        glass = _PlayedGlass(self._played, self._catalogue)
        lens = _pins_of(self._played, glass, self._catalogue)
        hand = _Hand(glass, lens)
        body = self._make_body(
            self._timing,
            self._script.run,
            dialect=self._dialect,
            frame_hz=self._script.frame_hz,
            attempts=self._script.attempts,
            catalogue=self._catalogue,
            hand=hand,
        )
        hand.mount = mount = Mount(body, lens)
        changes = [(start_ns + t_ns, levels) for t_ns, levels in mount.run(limit_ns, through=body)]
        self._now_ns = start_ns + (mount.now_ns if body.done else limit_ns) + _OFF_NS
        return changes, body.done


def _pins_of(played: PlayedLens, glass: SimulatedLens, catalogue: Catalogue) -> PinEnd:
    if not played.present:
        return PinEnd(0, 0)
    return pin_lens(glass, replaced(LENS_TIMINGS[played.pace], **played.timing), catalogue.shape_of)


class _PlayedGlass(SimulatedLens):
    """What is behind the pins of a lens that the suite plays."""

    def __init__(self, played: PlayedLens, catalogue: Catalogue) -> None:
        profile = PROFILES[played.profile]
        if played.capability is not None:
            profile = dataclasses.replace(profile, link_capability=played.capability)
        if played.initialise_ns is not None:
            profile = dataclasses.replace(profile, initialise_ns=played.initialise_ns)
        super().__init__(profile, faults_named(played.faults), catalogue)
        self._played = played
        self._shape_of = catalogue.shape_of

    def answer(self, command: bytes, now_ns: int) -> Answer:
        answer = super().answer(command, now_ns)
        if self._shape_of(command) is Shape.COMPLETE:
            return dataclasses.replace(answer, status=self._played.status)
        return answer


class _Hand:
    """A hand on the lens that the suite plays, for scripts that turn its rings or take it off."""

    def __init__(self, glass: SimulatedLens, lens: PinEnd) -> None:
        self.turn_zoom = glass.turn_zoom
        self.turn_focus_ring = glass.turn_focus_ring
        self._lens = lens
        self.mount: Mount | None = None

    def yank(self) -> None:
        """Take the lens off, once."""
        assert self.mount is not None
        self.mount.unplug(self._lens)
