"""Where a lens is tested: a bench takes operations and brings recordings back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from m43drivers.simulator.faults import NO_FAULTS
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43proto.messages import PUBLIC
from m43proto.mount import Mount
from m43proto.pins import LINES
from m43proto.timing import LensTiming
from m43tools.conformance.operations import MS, Cut, Recording, Remove, Step, Turn
from m43tools.conformance.probes import WATCHFUL, ProbeBody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from m43drivers.simulator.faults import Faults
    from m43drivers.simulator.profiles import Profile
    from m43proto.catalogue import Catalogue
    from m43proto.ends import PinLens, Script
    from m43tools.conformance.operations import Operation

__all__ = ["HANDS", "Bench", "SimBench"]

HANDS = frozenset({"zoom", "focus", "remove"})
"""What only a hand, or a machine in its place, can do to a lens."""

_OFF_NS = 10 * MS
_LONGEST_NS = 60_000 * MS
"""Longer than any one operation of a body that limits every wait."""


class Bench(ABC):
    """Carries out operations on one lens.

    A simulated one is `SimBench`. A bridge can be one, too: it needs firmware that takes the operations of
    `m43tools.conformance.operations` as a list, carries them out, and sends back the edges of all lines with their
    times; then every case runs there as it stands. No bridge of this project can do so yet.

    Attributes:
        role: whom it judges, ``"lens"`` or ``"body"``.
        name: how the user named it.
        firmware: version of the bridge; empty where there is none.
        hands: which of `HANDS` it has.
        knows_provisional: whether the catalogue of placeholders is enabled.
    """

    role: str = "lens"
    name: str
    firmware: str = ""
    hands: frozenset[str] = frozenset()
    knows_provisional: bool = False

    @abstractmethod
    def fresh(self) -> None:
        """Begin anew: the lens is off, and nothing of what was done before matters."""

    @abstractmethod
    def run(self, operations: Sequence[Operation]) -> Recording:
        """Carry out operations, one behind the other; a recording goes on where the last one since `fresh` ended."""


class SimBench(Bench):
    """A simulated lens at the pins, on virtual time; each `fresh` makes a new one, so no case depends on another.

    Args:
        profile: which lens.
        faults: what it does wrong.
        timing: its delays.
        catalogue: the messages that it knows.
        glass: what makes the lens behind the pins of a profile, faults and catalogue.
        pins: what makes its pins.
        name: how the user named it.
    """

    def __init__(
        self,
        profile: Profile,
        faults: Faults = NO_FAULTS,
        timing: LensTiming | None = None,
        *,
        catalogue: Catalogue = PUBLIC,
        glass: Callable[[Profile, Faults, Catalogue], SimulatedLens] = SimulatedLens,
        pins: Callable[..., PinLens] = pin_lens,
        name: str = "",
    ) -> None:
        self.name = name or f"sim:{profile.name}"
        self.hands = HANDS if profile.zoom_steps else HANDS - {"zoom"}
        self.knows_provisional = catalogue.named("SetStabilisation") is not None
        self._profile = profile
        self._faults = faults
        self._timing = timing or LensTiming()
        self._catalogue = catalogue
        self._make_glass = glass
        self._make_pins = pins
        self.fresh()

    def fresh(self) -> None:
        """Put a new lens on a new body."""
        self._glass = self._make_glass(self._profile, self._faults, self._catalogue)
        self._body = ProbeBody(WATCHFUL, lambda body: body.pause(_OFF_NS), self._catalogue.shape_of)
        self._now_ns = 0
        self._insert()

    def _insert(self) -> None:
        self._lens = self._make_pins(self._glass, self._timing, self._catalogue.shape_of)
        self._mount = Mount(self._body, self._lens)

    def run(self, operations: Sequence[Operation]) -> Recording:
        """Carry out operations."""
        changes = list(self._mount.run(self._now_ns + _LONGEST_NS, through=self._body))
        if not changes:
            changes = [(self._mount.now_ns, self._mount.levels)]
        steps = []
        for operation in operations:
            start_ns = self._mount.now_ns
            done: list[bool] = []
            changes += self._carry_out(operation, done)
            steps.append(Step(operation, start_ns, self._mount.now_ns, done == [True]))
        self._now_ns = self._mount.now_ns
        return Recording(tuple(changes), self._now_ns, LINES, tuple(steps))

    def _carry_out(self, operation: Operation, done: list[bool]) -> Iterator[tuple[int, int]]:
        if isinstance(operation, Turn):
            self._turn(operation)
            done.append(True)
        elif isinstance(operation, Cut):
            yield from self._begin(operation, [], operation.after_ns)
            yield from self._script(lambda body: body.cut(), done)
            yield from self._script(lambda body: _resting(body, operation.off_ns), [])
        elif isinstance(operation, Remove):
            yield from self._begin(operation, [], operation.after_ns)
            yield from self._remove(operation, done)
        else:
            yield from self._begin(operation, done, _LONGEST_NS)

    def _turn(self, operation: Turn) -> None:
        turn = self._glass.turn_zoom if operation.ring == "zoom" else self._glass.turn_focus_ring
        turn(operation.amount, self._mount.now_ns)

    def _remove(self, operation: Remove, done: list[bool]) -> Iterator[tuple[int, int]]:
        """Take the lens away, let the body give up, and put the lens on again."""
        before = self._mount.levels
        self._mount.unplug(self._lens)
        if self._mount.levels != before:
            yield self._mount.now_ns, self._mount.levels
        yield from self._script(lambda body: body.cut(), done)
        yield from self._script(lambda body: _resting(body, operation.away_ns), [])
        now_ns = self._mount.now_ns
        self._insert()
        self._mount.rouse(self._body, now_ns)

    def _begin(self, operation: Operation, done: list[bool], until_ns: int) -> Iterator[tuple[int, int]]:
        return self._script(lambda body: body.perform(operation), done, until_ns)

    def _script(
        self, script: Callable[[ProbeBody], Script[bool]], done: list[bool], until_ns: int = _LONGEST_NS
    ) -> Iterator[tuple[int, int]]:
        def noted(body: ProbeBody) -> Script[None]:
            done.append((yield from script(body)))

        self._body.begin(noted)  # type: ignore[arg-type]  # the body is a ProbeBody
        start_ns = self._mount.now_ns
        self._mount.rouse(self._body, start_ns)
        yield from self._mount.run(start_ns + until_ns, through=self._body)
        if until_ns != _LONGEST_NS:
            self._mount.rouse(self._body, start_ns + until_ns)


def _resting(body: ProbeBody, rest_ns: int) -> Script[bool]:
    yield rest_ns
    return True
