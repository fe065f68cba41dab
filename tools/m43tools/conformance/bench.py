"""Where a lens is tested: a bench takes operations and brings recordings back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from m43drivers.bridge.probe import NEVER, Interpreter, Program
from m43drivers.simulator.faults import NO_FAULTS
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.stand import Stand
from m43proto.errors import M43Error
from m43proto.messages import PUBLIC
from m43proto.pins import LINES
from m43proto.timing import LensTiming
from m43tools.conformance.operations import MS, Recording, Step
from m43tools.conformance.probes import Prober

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43drivers.simulator.faults import Faults
    from m43drivers.simulator.profiles import Profile
    from m43proto.catalogue import Catalogue
    from m43proto.ends import PinLens
    from m43tools.conformance.operations import Operation

__all__ = ["HANDS", "OFF_NS", "Bench", "BenchLostError", "SimBench"]

HANDS = frozenset({"zoom", "focus", "remove"})
"""What only a hand, or a machine in its place, can do to a lens."""

OFF_NS = 10 * MS
"""How long a new lens is off before the first operation."""


class BenchLostError(M43Error):
    """A bench went away, or does no more what it should; the text is one line that says what happened."""


class Bench(ABC):
    """Carries out operations on one lens.

    A simulated one is `SimBench`; one behind a bridge is `m43tools.conformance.bridgebench.BridgeBench`. Both carry out
    the same programs (`m43tools.conformance.probes`) by the same interpreter.

    Attributes:
        role: whom it judges, ``"lens"`` or ``"body"``.
        name: how the user named it.
        firmware: version of the bridge; empty where there is none.
        hands: which of `HANDS` it has.
        knows_provisional: whether the catalogue of placeholders is enabled.
        resolution_ns: in which steps it tells times.
        error: why it is gone; empty while it is there.
    """

    role: str = "lens"
    name: str
    firmware: str = ""
    hands: frozenset[str] = frozenset()
    knows_provisional: bool = False
    resolution_ns: int = 1
    error: str = ""

    @abstractmethod
    def fresh(self) -> None:
        """Begin anew: the lens is off, and nothing of what was done before matters."""

    @abstractmethod
    def run(self, operations: Sequence[Operation]) -> Recording:
        """Carry out operations, one behind the other; a recording goes on where the last one since `fresh` ended.

        Raises:
            BenchLostError: the bench is gone, or does no more what it should.
        """

    def close(self) -> None:
        """Switch the lens off, and let go of it; a simulated one is just forgotten."""
        return


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
        glass = self._make_glass(self._profile, self._faults, self._catalogue)
        self._stand = Stand(
            glass,
            lambda lens: self._make_pins(lens, self._timing, self._catalogue.shape_of),
            hands=Stand.hands_for(glass),
        )
        self._prober = Prober(self._catalogue.shape_of)
        self._rested = False

    def run(self, operations: Sequence[Operation]) -> Recording:
        """Carry out operations."""
        stand = self._stand
        changes = [(stand.now_ns(), stand.levels)]
        if not self._rested:
            stand.delay(OFF_NS, NEVER)
            self._rested = True
        steps = []
        for operation in operations:
            start_ns = stand.now_ns()
            interpreter = Interpreter(stand, Program(self._prober.program(operation)))
            while not interpreter.ended:
                interpreter.step()
            steps.append(Step(operation, start_ns, stand.now_ns(), interpreter.done))
        changes += stand.edges()
        return Recording(tuple(changes), stand.now_ns(), LINES, tuple(steps))
