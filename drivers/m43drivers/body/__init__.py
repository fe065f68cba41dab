"""The phone's side of the mount: an asyncio driver that moves a lens.

::

    async with open_lens("sim:olympus-14-42") as lens:
        print(lens.identity, lens.capabilities)
        await lens.set_aperture(5.6)
        await lens.focus_to(distance_m=1.5)
        async for status in lens.statuses():
            ...
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from m43drivers.body.driver import BodyDriver
from m43drivers.body.events import DriverEvent, LensAttached, LensDetached, LifeChanged
from m43drivers.body.lens import Capabilities, Lens
from m43drivers.body.life import Life
from m43drivers.body.status import LensStatus
from m43drivers.transports import open_transport
from m43proto.messages import PUBLIC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from m43drivers.transport import Transport
    from m43proto.catalogue import Catalogue

__all__ = [
    "BodyDriver",
    "Capabilities",
    "DriverEvent",
    "Lens",
    "LensAttached",
    "LensDetached",
    "LensStatus",
    "Life",
    "LifeChanged",
    "open_lens",
]


@asynccontextmanager
async def open_lens(
    where: str | Transport,
    *,
    dialect: str = "E-PL1",
    catalogue: Catalogue = PUBLIC,
    frame_hz: float = 60.0,
    record: str | None = None,
) -> AsyncIterator[Lens]:
    """Open the lens at a transport's URL, and let go of it at the end.

    Args:
        where: ``sim:PROFILE``, ``serial:PORT``, ``socket:HOST:PORT``, ``replay:FILE``, or a transport.
        dialect: how to start the lens, ``E-PL1`` or ``E-P1``.
        catalogue: the messages to know; stabilisation needs the provisional one.
        frame_hz: how often to poll.
        record: a file to record the exchange to, which ``replay:`` and ``m43 sniff`` read.

    Raises:
        TransportError: the mount cannot be reached.
        LensFailedError: the lens wakes up, but cannot be started.
    """
    transport = open_transport(where, catalogue=catalogue, record=record) if isinstance(where, str) else where
    driver = BodyDriver(transport, dialect=dialect, catalogue=catalogue, frame_hz=frame_hz)
    lens = await driver.open()
    try:
        yield lens
    finally:
        await driver.close()
