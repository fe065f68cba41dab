"""A lens behind a bridge as a bench: the same programs as on a simulated lens, carried out at real contacts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from m43drivers.bridge.assembly import Assembly
from m43drivers.bridge.probe import FOCUS, FRESH, REMOVE, ZOOM
from m43drivers.transport import TransportError
from m43drivers.transports.probing import open_probing
from m43proto.pins import LINES
from m43tools.conformance.bench import OFF_NS, Bench, BenchLostError
from m43tools.conformance.operations import MS, Recording, Step
from m43tools.conformance.probes import Prober

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any, TypeVar

    from m43proto.catalogue import Catalogue
    from m43tools.conformance.operations import Operation

    T = TypeVar("T")

__all__ = ["BridgeBench"]

_SWITCHED_OFF_NS = 500 * MS
"""How long a lens that stays the same is off between two stimuli (provisional: nobody knows how long it needs)."""

_HANDS = {"zoom": ZOOM, "focus": FOCUS, "remove": REMOVE}


class BridgeBench(Bench):
    """A lens behind a bridge; open behind its making, until `close`.

    Times are those of the bridge's clock, in steps of `resolution_ns`. `fresh` switches the lens off and on; only a
    simulated bridge can put a new lens on, so on a board what a stimulus leaves in the lens is there in the next.

    Args:
        url: ``serial:PORT[?baud=N]`` or ``socket:HOST:PORT``.
        catalogue: the messages whose shapes are known.

    Raises:
        TransportError: the address is wrong, the bridge cannot be reached, or it cannot probe.
    """

    def __init__(self, url: str, catalogue: Catalogue) -> None:
        self.name = url
        self.knows_provisional = catalogue.named("SetStabilisation") is not None
        self._catalogue = catalogue
        self._link = open_probing(url)
        self._runner = asyncio.Runner()
        try:
            self.firmware = self._runner.run(self._link.open()).firmware
        except BaseException:
            self._runner.close()
            raise
        begun = self._link.begun
        self.resolution_ns = begun.tick_ns
        self.hands = frozenset(name for name, bit in _HANDS.items() if begun.hands >> bit & 1)
        self._begin()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(work)
        except TransportError as error:
            self.error = f"the bridge was lost: {error}"
            raise BenchLostError(self.error) from error

    def _begin(self) -> None:
        self._prober = Prober(self._catalogue.shape_of)
        first = Assembly()
        first.put("DELAY", OFF_NS if self._link.begun.hands >> FRESH & 1 else _SWITCHED_OFF_NS)
        first.put("END")
        self._first = [first.program()]

    def fresh(self) -> None:
        """Switch the lens off, and leave it off before the next operation."""
        self._run(self._link.begin())
        self._begin()

    def run(self, operations: Sequence[Operation]) -> Recording:
        """Carry out operations."""
        first, self._first = self._first, []
        programs = first + [self._prober.program(operation) for operation in operations]
        probed = self._run(self._link.carry_out(programs))
        steps = [
            Step(operation, step.start_ns, step.end_ns, step.done)
            for operation, step in zip(operations, probed.steps[len(first) :], strict=True)
        ]
        start_ns, end_ns = probed.steps[0].start_ns, probed.steps[-1].end_ns
        changes = ((start_ns, probed.changes[0][1]), *probed.changes[1:])
        return Recording(changes, end_ns, LINES, tuple(steps), probed.gaps_ns)

    def close(self) -> None:
        """Switch the lens off, and let go of the bridge; never raises."""
        self._runner.run(self._link.close())
        self._runner.close()
