"""What the tests of the driver have in common: a driver on a simulated lens, on virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from m43drivers.body import BodyDriver, Lens, LensAttached, LensDetached, Life, LifeChanged
from m43drivers.transports.sim import SimTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from m43drivers.body.events import DriverEvent
    from m43drivers.body.status import BoundedStream
    from m43drivers.simulator.lens import SimulatedLens
    from m43drivers.transport import Outcome
    from m43proto.exchange import Transfer

OLYMPUS = "olympus-14-42"


class Wire(SimTransport):
    """A simulated lens whose transactions a test can see, hold up and spoil.

    Attributes:
        commands: the commands of the driver, in their order; not the polls that the transport does by itself.
        sent: the data that were written, in the same order.
        spoil: called with each outcome; returns what the driver is to get instead.
        closed: whether it was closed, and whether it was aborted.
    """

    def __init__(self, address: str = OLYMPUS, **options: Any) -> None:
        super().__init__(address, **options)
        self.commands: list[str] = []
        self.sent: list[bytes] = []
        self.spoil: Callable[[bytes, Outcome], Outcome] = lambda command, outcome: outcome
        self.power_changes: list[bool] = []
        self.closed = ""

    @property
    def lens(self) -> SimulatedLens:
        """The simulated lens."""
        assert self.glass is not None
        return self.glass

    async def power(self, *, on: bool) -> bool:
        self.power_changes.append(on)
        return await super().power(on=on)

    async def transact(self, transfers: Sequence[Transfer]) -> Outcome:
        self.commands.append(transfers[0].data.hex())
        self.sent.append(b"".join(one.data for one in transfers[1:]))
        return self.spoil(transfers[0].data, await super().transact(transfers))

    async def close(self) -> None:
        self.closed = "closed"
        await super().close()

    def abort(self) -> None:
        self.closed = self.closed or "aborted"
        super().abort()

    async def stop_frames(self) -> None:
        was, self.closed = self.closed, "-"
        await super().stop_frames()
        self.closed = was


class Seen:
    """What a driver told."""

    def __init__(self, stream: BoundedStream[DriverEvent]) -> None:
        self.events: list[DriverEvent] = []
        self._stream = stream
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self._stream:
            self.events.append(event)

    @property
    def lives(self) -> list[str]:
        """The states, in their order."""
        return [str(event.after) for event in self.events if isinstance(event, LifeChanged)]

    @property
    def attached(self) -> list[Lens]:
        """The lenses that came up, in their order."""
        return [event.lens for event in self.events if isinstance(event, LensAttached)]

    @property
    def detached(self) -> list[LensDetached]:
        """The handles that ended, in their order."""
        return [event for event in self.events if isinstance(event, LensDetached)]


@asynccontextmanager
async def driven(wire: SimTransport, **options: Any) -> AsyncIterator[tuple[BodyDriver, Lens, Seen]]:
    """Open a driver, and close it at the end."""
    driver = BodyDriver(wire, **options)
    seen = Seen(driver.events())
    try:
        lens = await driver.open()
        yield driver, lens, seen
    finally:
        await driver.close()
        await seen.task


async def until(driver: BodyDriver, *lives: Life, limit_s: float = 10.0) -> float:
    """Wait until the driver is in one of these states; return how long that took, in s."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    while driver.life not in lives:
        assert loop.time() - start_s < limit_s, driver.life
        await asyncio.sleep(0.001)
    return loop.time() - start_s
