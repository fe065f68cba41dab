"""A bridge that probes a lens: programs go there, edges come back (specs/11-bridge-link.md, section 11.6)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from m43drivers.bridge.edges import EdgeDecoder
from m43drivers.bridge.protocol import Edges, Load, Probe, ProbeBegun, RefusalCode, StepDone, Stop
from m43drivers.bridge.protocol import Heartbeat as HeartbeatMessage
from m43drivers.bridge.requests import BridgeRefusedError, Urgency
from m43drivers.transport import TransportError, TransportLostError, TransportTimeoutError
from m43drivers.transports.bridge import BridgeTransport, serial_bridge, socket_bridge
from m43proto.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43drivers.bridge.protocol import Frame
    from m43drivers.transport import Abilities

__all__ = ["IDLE_S", "Probed", "ProbedStep", "ProbingBridge", "open_probing"]

IDLE_S = 30.0
"""How long a bridge may say nothing of a program; the longest pause of a program of `m43 conform` is 2 s."""


@dataclass(frozen=True, slots=True)
class ProbedStep:
    """How a program ended; times are nanoseconds since the probe began.

    Attributes:
        start_ns: when it began.
        end_ns: when it ended.
        done: whether it went as it should.
    """

    start_ns: int
    end_ns: int
    done: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of some programs.

    Attributes:
        changes: time and new levels; the first tells the levels at the start.
        steps: how each program ended.
        gaps_ns: stretches in which edges were lost.
    """

    changes: tuple[tuple[int, int], ...]
    steps: tuple[ProbedStep, ...]
    gaps_ns: tuple[tuple[int, int], ...]


class ProbingBridge(BridgeTransport):
    """A bridge at the other end of a byte stream, for probes only."""

    async def open(self) -> Abilities:
        """Open the stream, and see that a bridge is at its other end that can probe.

        Raises:
            TransportError: the stream cannot be opened, no bridge answers, or one that cannot probe.
        """
        self._edges: EdgeDecoder | None = None
        self._steps: list[ProbedStep] = []
        self._news = asyncio.Event()
        abilities = await super().open()
        try:
            await self.begin()
        except BridgeRefusedError as error:
            self.abort()
            raise TransportError(self._unable(error, abilities)) from None
        except BaseException:
            self.abort()
            raise
        return abilities

    def _unable(self, error: BridgeRefusedError, abilities: Abilities) -> str:
        who = f"{self.url}: the bridge ({abilities.name}, firmware {abilities.firmware})"
        if error.code == RefusalCode.UNKNOWN_KIND:
            return f"{who} is too old to move single lines; copy firmware 0.2.0 or later to it"
        return f"{who} cannot move single lines: {error}"

    async def begin(self) -> ProbeBegun:
        """Begin a probe, or begin anew; the lens is off behind it."""
        self._edges = None
        begun: ProbeBegun = await self._ask(Probe())
        self._edges = EdgeDecoder(begun)
        self._steps.clear()
        self._room = begun.room
        self.begun = begun
        return begun

    async def carry_out(self, programs: Sequence[bytes]) -> Probed:
        """Carry out programs, one behind the other, without a pause as far as the bridge has room.

        Raises:
            TransportError: a program is longer than the room of the bridge, or is refused.
            TransportLostError: the bridge is gone.
            TransportTimeoutError: it tells nothing of a program for `IDLE_S`.
        """
        assert self._edges is not None
        edges, gaps_before = self._edges, len(self._edges.gaps_ns)
        first = len(self._steps)
        for index, program in enumerate(programs):
            if len(program) > self._room:
                raise TransportError(
                    f"{self.url}: a program has {len(program)} bytes, the bridge room for {self._room}"
                )
            await self._until(partial(self._fits, programs[: index + 1], first))
            await self._ask(Load(program))
        await self._until(lambda: len(self._steps) >= first + len(programs))
        changes = tuple(edges.changes)
        del edges.changes[:-1]
        return Probed(changes, tuple(self._steps[first:]), tuple(edges.gaps_ns[gaps_before:]))

    def _fits(self, programs: Sequence[bytes], first: int) -> bool:
        """Tell whether the bridge has room for the last of some programs beside those that have not ended."""
        return sum(map(len, programs[len(self._steps) - first :])) <= self._room

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            if self._error is not None:
                raise TransportLostError(str(self._error))
            self._news.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._news.wait()
            except TimeoutError:
                raise TransportTimeoutError(
                    f"{self.url}: the bridge has told nothing of its program for {IDLE_S:g} s"
                ) from None

    # what the bridge says

    def _take_frame(self, frame: Frame) -> None:
        message = frame.message
        if isinstance(message, HeartbeatMessage):
            self._heard_s = asyncio.get_running_loop().time()
        elif isinstance(message, Edges | StepDone):
            self._heard_s = asyncio.get_running_loop().time()
            self._take_news(message)
        else:
            super()._take_frame(frame)

    def _take_news(self, message: Edges | StepDone) -> None:
        edges = self._edges
        if edges is None:
            return
        if isinstance(message, Edges):
            try:
                edges.take(message)
            except DecodeError as error:
                self._lose(TransportLostError(f"{self.url}: what the bridge tells of a probe makes no sense: {error}"))
        else:
            edges.take_done(message)
            step = ProbedStep(edges.ns_of(message.start), edges.ns_of(message.end), message.done)
            missed = message.index - len(self._steps)
            self._steps += [ProbedStep(step.start_ns, step.start_ns, False)] * missed
            self._steps.append(step)
        self._news.set()

    def _lose(self, error: TransportLostError) -> None:
        super()._lose(error)
        self._news.set()

    async def _stop_politely(self) -> None:
        """End the probe: the lens is switched off."""
        await self._ask(Stop(), Urgency.STOPS)


_OPENERS = {"serial": serial_bridge, "socket": socket_bridge}


def open_probing(url: str) -> ProbingBridge:
    """Return the probing bridge of ``serial:PORT[?baud=N]`` or ``socket:HOST:PORT``, not opened yet.

    Raises:
        TransportError: the address is wrong.
    """
    scheme, _, address = url.partition(":")
    plain = _OPENERS[scheme](address)
    return ProbingBridge(plain.url, plain.open_stream)
