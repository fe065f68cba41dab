"""The start-up of a lens behind its wake pulse, step by step as a dialect has it (specs/4-session.md §4.3)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m43drivers.body.bus import TroubleError
from m43drivers.body.status import LensStatus
from m43proto.messages import Drive, Identify, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.body.bus import Bus
    from m43proto.dialects import Dialect

__all__ = ["STEP_PAUSE_S", "Started", "start_up"]

STEP_PAUSE_S = 0.001
"""Between the commands of the start-up, as the public body program waits (BELL)."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a lens said of itself in its start-up.

    Attributes:
        identity: who it is.
        link: the bytes of its LinkCapability.
        status: how it stood; None when its status has a size that is not known.
    """

    identity: Identify
    link: bytes
    status: LensStatus | None


async def start_up(bus: Bus, dialect: Dialect, give_way: Callable[[], None]) -> Started:
    """Carry out the start-up, and the set-up drive that belongs to it.

    Args:
        bus: where the lens is.
        dialect: how to start it.
        give_way: called before each step; raises to leave.

    Raises:
        TroubleError: a step went wrong as often as it was tried, or the identity cannot be read.
        TransportError: the transport failed.
    """
    identity: Identify | None = None
    status: LensStatus | None = None
    link = b""
    for step in dialect.steps:
        give_way()
        seen = await bus.transact(step.command, step.block)
        await asyncio.sleep(STEP_PAUSE_S)
        if isinstance(seen.message, Identify):
            identity = seen.message
        elif isinstance(seen.message, Status):
            status = LensStatus.of(seen.message, seen.transaction.end_ns)
        elif seen.name == "LinkCapability":
            link = seen.transaction.data
    if identity is None:
        raise TroubleError("its identity cannot be read.")
    setup = Drive(focus_operation="setup")
    await bus.transact(setup.command, setup.block, message=setup)
    return Started(identity, link, status)
