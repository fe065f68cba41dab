"""What a transport polls by itself, and how much of it the driver wants to know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from m43drivers.body.errors import LensRefusedError
from m43drivers.transport import Frames

if TYPE_CHECKING:
    from m43drivers.transport import Report, Transport

__all__ = ["Polling"]


class Polling:
    """The frames of one transport.

    Args:
        transport: what polls.
        poll: the command of a poll.
        frame_hz: how often.

    Attributes:
        poll: the command of a poll.
        bad: how many polls have gone wrong since the last good one.

    Raises:
        LensRefusedError: the rate is not a number above 0.
    """

    def __init__(self, transport: Transport, poll: bytes, frame_hz: float) -> None:
        if not (math.isfinite(frame_hz) and frame_hz > 0):
            raise LensRefusedError(f"a frame rate is a number above 0, not {frame_hz}")
        self.poll = poll
        self.bad = 0
        self._transport = transport
        self._frame_hz = frame_hz
        self._frames: Frames | None = None

    @property
    def on(self) -> bool:
        """Whether the transport polls."""
        return self._frames is not None

    def tells(self, report: Report) -> bool:
        """Tell whether the transport polls, and tells just that much."""
        return self._frames is not None and self._frames.report is report

    async def start(self, report: Report) -> None:
        """Have the transport poll, or go on in another way; and tell that much.

        Raises:
            TransportError: the transport failed.
        """
        if not self.tells(report):
            self._frames = Frames(self._frame_hz, self.poll, report=report)
            await self._transport.start_frames(self._frames)

    async def stop(self) -> None:
        """Have the transport stop polling.

        Raises:
            TransportError: the transport failed.
        """
        self.bad = 0
        if self._frames is not None:
            self._frames = None
            await self._transport.stop_frames()
