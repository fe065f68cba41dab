"""The bridge's own logic in this process, with a simulated lens at its contacts: ``loopback:PROFILE[?KEY=VALUE&...]``.

Everything but the cable is real: the host's side of the link, and the command logic of the firmware. The cable may be
bad, by a seed: ``loss``, ``flip``, ``duplicate``, ``stall``, ``dribble`` are fractions, ``stall_s`` and ``delay_s``
seconds. ``fault=NAME[@N]`` is the lens's. It needs the firmware, so it works in a clone of the repository.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import fields
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from m43drivers.bridge.contacts import SimulatedContacts
from m43drivers.bridge.firmware import FirmwareMissingError, firmware
from m43drivers.simulator.faults import faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import profile_named
from m43drivers.streams.base import ByteStream
from m43drivers.streams.faulty import HONEST, FaultyLink, LinkFaults
from m43drivers.transport import TransportError, TransportLostError
from m43drivers.transports.bridge import BridgeTransport
from m43proto.messages import PUBLIC
from m43proto.timing import LENS_TIMINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.catalogue import Catalogue

__all__ = ["LoopbackStream", "loopback_bridge"]

_KEYS = {field.name for field in fields(LinkFaults)}
_TAKEN = 4096


class LoopbackStream(ByteStream):
    """A byte stream to a bridge in this process, on the time of the event loop.

    Args:
        contacts: what is at the bridge's contacts.
        faults: what the link does wrong, in both directions.
        seed: decides when.
    """

    def __init__(self, contacts: SimulatedContacts, faults: LinkFaults, seed: int) -> None:
        super().__init__("loopback")
        rng = random.Random(seed)
        self._bridge = firmware().Bridge(contacts, 1 + seed % 0xFFFF, "m43 bridge, in this process")
        self._contacts = contacts
        self._to_bridge, self._to_host = FaultyLink(faults, rng), FaultyLink(faults, rng)
        self._take: Callable[[bytes], None] | None = None
        self._lost: Callable[[TransportLostError], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time() - contacts.now_us() / 1e6

    @property
    def unsent(self) -> int:
        """Nothing waits: the link takes all."""
        return 0

    def start(self, take: Callable[[bytes], None], lost: Callable[[TransportLostError], None]) -> None:
        """Begin to read."""
        self._take, self._lost = take, lost
        self._work()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.error is not None:
            raise self.error
        for at_s, piece in self._to_bridge.carry(data, self._loop.time()):
            self._loop.call_at(at_s, self._arrive, piece)

    def discard(self) -> int:
        """Nothing is unsent."""
        return 0

    async def drain(self, limit_s: float) -> None:
        """Nothing is unsent."""

    async def close(self, limit_s: float) -> None:
        """Let go."""
        self.abort()

    def abort(self) -> None:
        """Let go at once."""
        self._take = self._lost = None
        if self._timer is not None:
            self._timer.cancel()

    def heal(self) -> float:
        """End what the link does wrong, from the next byte on; return when the last byte under way arrives (s)."""
        self._to_bridge.faults = self._to_host.faults = HONEST
        return max(self._to_bridge.free_s, self._to_host.free_s)

    def unplug(self) -> None:
        """Take the bridge away."""
        lost = self._lost
        self.abort()
        self.error = TransportLostError("loopback: is gone")
        if lost is not None:
            lost(self.error)

    def _arrive(self, piece: bytes) -> None:
        if self._take is not None:
            self._agree()
            self._bridge.feed(piece)
            self._work()

    def _agree(self) -> None:
        """Let the contacts' time come to the loop's."""
        behind_s = self._loop.time() - self._start_s - self._contacts.now_us() / 1e6
        if behind_s > 0:
            self._contacts.advance(round(behind_s * 1e9))

    def _work(self) -> None:
        """Let the bridge do what is due, and send what it says when its contacts have come so far."""
        self._agree()
        self._bridge.step()
        while said := self._bridge.take(_TAKEN):
            for at_s, piece in self._to_host.carry(said, self._start_s + self._contacts.now_us() / 1e6):
                self._loop.call_at(at_s, self._deliver, piece)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._start_s + self._bridge.next_us() / 1e6, self._due)

    def _due(self) -> None:
        if self._take is not None:
            self._work()

    def _deliver(self, piece: bytes) -> None:
        if self._take is not None:
            self._take(piece)


def loopback_bridge(address: str, *, catalogue: Catalogue = PUBLIC) -> BridgeTransport:
    """Return the transport of ``loopback:PROFILE[?KEY=VALUE&...]``, not opened yet.

    Raises:
        TransportError: the address is wrong.
    """
    name, _, query = address.partition("?")
    rates: dict[str, float] = {}
    switched: list[str] = []
    seed = 0
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "fault":
            switched.append(value)
        elif key == "seed":
            seed = int(_number(address, key, value))
        elif key in _KEYS:
            rates[key] = _number(address, key, value)
        else:
            raise TransportError(f"loopback:{address}: no key {key}; keys: fault, seed, {', '.join(sorted(_KEYS))}")
    profile, faults = profile_named(name), faults_named(switched)

    async def stream() -> ByteStream:
        glass = SimulatedLens(profile, faults, catalogue)
        contacts = SimulatedContacts(pin_lens(glass, LENS_TIMINGS["bell_lens"], catalogue.shape_of))
        try:
            return LoopbackStream(contacts, LinkFaults(**rates), seed)
        except FirmwareMissingError as error:
            raise TransportError(str(error)) from None

    return BridgeTransport(f"loopback:{address}", stream)


def _number(address: str, key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise TransportError(f"loopback:{address}: {key} is a number, not {value!r}") from None
