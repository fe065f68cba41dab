"""What every byte stream does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from m43drivers.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.transport import TransportLostError

__all__ = ["CHUNK", "MOST_UNSENT", "ByteStream", "StreamFullError"]

CHUNK = 1024
"""Bytes that one turn of the event loop reads at most, so that a peer that floods does not keep others waiting."""

MOST_UNSENT = 0x28000
"""Bytes that a stream holds for a peer that does not take them: two of the longest frames of the link, and some."""


class StreamFullError(TransportError):
    """The peer takes nothing, and the stream holds as much as it may; nothing of what was to be written was taken."""


class ByteStream(ABC):
    """Bytes to and from one peer; for one user, on one event loop.

    Attributes:
        name: what it leads to, for messages.
        error: why the peer is gone, or None.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: TransportLostError | None = None

    @property
    @abstractmethod
    def unsent(self) -> int:
        """How many bytes the operating system has not taken yet."""

    @abstractmethod
    def start(self, take: Callable[[bytes], None], lost: Callable[[TransportLostError], None]) -> None:
        """Begin to read.

        Args:
            take: called with bytes as they come, never with none.
            lost: called once when the peer is gone, unless `abort` comes first; nothing is taken behind it, and the
                descriptor is closed already.
        """

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes, now or as soon as the peer takes them.

        Raises:
            StreamFullError: `MOST_UNSENT` would be exceeded.
            TransportLostError: the peer is gone.
        """

    @abstractmethod
    def discard(self) -> int:
        """Forget what is unsent; return how many bytes that was. What they belong to may have gone in part."""

    @abstractmethod
    async def drain(self, limit_s: float) -> None:
        """Wait until nothing is unsent.

        Raises:
            TransportTimeoutError: the peer did not take it within the limit.
            TransportLostError: the peer is gone.
        """

    @abstractmethod
    async def close(self, limit_s: float) -> None:
        """Send what is unsent, for as long as the limit allows, and let go; never raises."""

    @abstractmethod
    def abort(self) -> None:
        """Let go at once; may be called again."""
