"""What carries whole transactions between a driver and the contacts of the mount.

The handshake of a byte is a matter of microseconds and cannot be done from a host; so a transport takes transactions,
not bytes: a bridge carries them out at the contacts, a simulated lens answers them, a recording repeats them.

A transport has one user. Its times are nanoseconds of `Transport.now_ns`, which never goes back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from m43proto.errors import M43Error
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from m43proto.exchange import Transfer

__all__ = [
    "Abilities",
    "Break",
    "Frames",
    "Heartbeat",
    "Lost",
    "Outcome",
    "Polled",
    "Report",
    "Transport",
    "TransportError",
    "TransportLostError",
    "TransportTimeoutError",
]


class TransportError(M43Error):
    """A transport cannot do what it is asked; the text is one line that says what to do."""


class TransportLostError(TransportError):
    """The other end of the transport is gone; only closing it is left."""


class TransportTimeoutError(TransportError, TimeoutError):
    """The other end of the transport did not answer in time."""


class Break(StrEnum):
    """Why a transaction broke off at the contacts."""

    NO_ANSWER = "no_answer"
    SILENT = "silent"
    BUSY = "busy"
    LENGTH = "length"

    @property
    def meaning(self) -> str:
        """One sentence for the reader."""
        return _MEANINGS[self]


_MEANINGS = {
    Break.NO_ANSWER: "LENS_ACK did not rise when the body asked for attention.",
    Break.SILENT: "The lens stopped answering in the middle of the transaction.",
    Break.BUSY: "The lens did not end its work in time.",
    Break.LENGTH: "The block that the lens announced has no room for its sum, or is longer than the transport takes.",
}


@record(frozen=True, slots=True)
class Outcome:
    """What came of one transaction.

    Attributes:
        start_ns: when it began.
        end_ns: when it ended, or broke off.
        said: all that the lens said, in order: sum of the command, length, data, sum, status.
        broke_off: why it broke off, or None.
    """

    start_ns: int
    end_ns: int
    said: bytes
    broke_off: Break | None = None


@record(frozen=True, slots=True)
class Abilities:
    """What the other end of a transport says of itself.

    Attributes:
        name: what it is, for a person.
        firmware: its version, or an empty string.
        boot_id: another number after each start of the bridge; 0 where there is none.
        longest_block: bytes of the longest block that it takes, with length and sum.
    """

    name: str
    firmware: str = ""
    boot_id: int = 0
    longest_block: int = 0x10000 + 2


class Report(StrEnum):
    """Which polls a transport tells of."""

    ALL = "all"
    CHANGES = "changes"


@record(frozen=True, slots=True)
class Frames:
    """What a transport does by itself, frame after frame (specs/4-session.md §4.4).

    Attributes:
        rate_hz: frames per second.
        poll: the command that it sends in each frame.
        shutter_ns: width of the pulse on SHUTTER.
        lead_ns: from the fall of SHUTTER to the poll.
        report: which polls it tells of: all, or those that differ from the one before, and those that broke off.
    """

    rate_hz: float
    poll: bytes
    shutter_ns: int = 500_000
    lead_ns: int = 1_500_000
    report: Report = Report.ALL


@record(frozen=True, slots=True)
class Polled:
    """A poll that the transport has done by itself.

    Attributes:
        outcome: what came of it.
        alike: how many polls since the last one told of were not told, because they were like it.
    """

    outcome: Outcome
    alike: int = 0


@record(frozen=True, slots=True)
class Heartbeat:
    """A sign of life, about once a second.

    Attributes:
        t_ns: when.
        alike: how many polls since the last one told of were not told, because they were like it.
        counters: error counters of the bridge, by name.
    """

    t_ns: int
    alike: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)


@record(frozen=True, slots=True)
class Lost:
    """The other end is gone: unplugged, ended, or started anew.

    Attributes:
        error: what happened.
    """

    error: TransportLostError


Sign: TypeAlias = Polled | Heartbeat | Lost
"""What a transport tells without being asked."""


class Transport(ABC):
    """Carries whole transactions; one user, one call at a time.

    A call that is cancelled never cuts a transaction: the transport carries it to its end, and the next call waits for
    that. Every call ends within its limit, with `TransportTimeoutError` or `TransportLostError` at the latest.

    Attributes:
        url: how the user named it.
        tell: called with each `Sign`; set it before `open`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.tell: Callable[[Sign], None] = lambda sign: None

    @abstractmethod
    def now_ns(self) -> int:
        """Return the time; it never goes back."""

    @abstractmethod
    async def open(self) -> Abilities:
        """Reach the other end.

        Raises:
            TransportError: it cannot be reached; the text says what to do.
        """

    @abstractmethod
    async def power(self, *, on: bool) -> bool:
        """Raise or drop SLEEP; return, when it is raised, whether the lens gave its wake pulse."""

    @abstractmethod
    async def transact(self, transfers: Sequence[Transfer]) -> Outcome:
        """Carry out one transaction, between the frames if there are any."""

    @abstractmethod
    async def start_frames(self, frames: Frames) -> None:
        """Begin to poll, or go on in another way."""

    @abstractmethod
    async def stop_frames(self) -> None:
        """Stop polling; no `Polled` is told behind the return."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the other end; never raises, and ends within a second."""

    @abstractmethod
    def abort(self) -> None:
        """Let go of the other end at once."""
