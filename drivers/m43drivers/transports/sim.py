"""A simulated lens as a transport: ``sim:olympus-14-42``, on the time of the event loop, real or virtual.

``sim:PROFILE[?KEY=VALUE&...]``; ``fault=NAME[@N]`` as often as wanted, ``timing=NAME`` and ``seed=N`` for the lens's
delays, ``pins=1`` to go over the pins edge by edge (faults of the pins do so in any case). ``sim:none`` is a mount
without a lens.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from m43drivers.simulator.contacts import Contacts, EmptyContacts, contacts_of
from m43drivers.simulator.faults import faults_named
from m43drivers.simulator.profiles import profile_named
from m43drivers.transport import Abilities, Heartbeat, Outcome, Polled, Report, Transport, TransportError
from m43proto.exchange import transfers_of
from m43proto.messages import PUBLIC
from m43proto.shapes import Shape
from m43proto.timing import JITTERY, LENS_TIMINGS, body_timing, lens_timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43drivers.simulator.lens import SimulatedLens
    from m43drivers.transport import Frames
    from m43proto.catalogue import Catalogue
    from m43proto.exchange import Transfer

__all__ = ["SimTransport"]

HEARTBEAT_NS = 1_000_000_000

NO_LENS = "none"
"""The profile of a mount without a lens, or with one that has no electronics."""


class SimTransport(Transport):
    """A simulated lens at the other end.

    Args:
        address: what stands behind ``sim:``.
        catalogue: the messages that the lens knows.

    Attributes:
        glass: the lens, or None without one; turn its rings.

    Raises:
        TransportError: a key is unknown, or a value wrong.
        ProfileError: there is no such profile.
        FaultError: there is no such fault.
    """

    def __init__(self, address: str, catalogue: Catalogue = PUBLIC) -> None:
        super().__init__(f"sim:{address}")
        self.glass: SimulatedLens | None = None
        self._contacts: Contacts = EmptyContacts()
        self._may_skip = True
        name, _, query = address.partition("?")
        self._options = _options(query)
        self._catalogue = catalogue
        self._free_ns = 0
        self._lock = asyncio.Lock()
        self._frames: Frames | None = None
        self._series = 0
        self._frame_ns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._last: bytes | None = None
        self._alike = 0
        self._told_ns = 0
        self._skipping = False
        self._touches = 0
        self._rested_touches: int | None = None
        self.change_lens(name)

    def change_lens(self, name: str) -> None:
        """Put another lens on, as a hand does: a profile, or ``none``; it has the faults of the address.

        The transaction that is under way ends with the lens that was there before.

        Raises:
            ProfileError: there is no such profile.
        """
        if self._timer is not None:
            self._touched()
        self._name = f"simulated {name}"
        if name == NO_LENS:
            self.glass, self._contacts = None, EmptyContacts()
            return
        timing, seed = self._options.get("timing", ["bell_lens"])[-1], _number(self._options, "seed")
        if timing != JITTERY and timing not in LENS_TIMINGS:
            raise TransportError(f"sim: timing is one of {', '.join([*LENS_TIMINGS, JITTERY])}, not {timing}")
        faults = faults_named(self._options.get("fault", []))
        self._may_skip = not faults.at
        self.glass, self._contacts = contacts_of(
            profile_named(name),
            faults,
            self._catalogue,
            body=body_timing({"bell_lens": "bell_body"}.get(timing, timing), seed),
            lens=lens_timing(timing, seed),
            pins=bool(_number(self._options, "pins")) or timing == JITTERY,
        )
        self.glass.touched = self._touched

    def now_ns(self) -> int:
        """Return the time of the event loop."""
        return round(asyncio.get_running_loop().time() * 1e9)

    async def open(self) -> Abilities:
        """Reach the lens."""
        return Abilities(self._name)

    async def power(self, *, on: bool) -> bool:
        """Raise or drop SLEEP."""
        async with self._lock:
            woke, end_ns = self._contacts.power(max(self.now_ns(), self._free_ns), on=on)
            await self._until(end_ns)
            return woke

    async def transact(self, transfers: Sequence[Transfer]) -> Outcome:
        """Carry out one transaction."""
        async with self._lock:
            self._catch_up(self.now_ns())
            outcome = self._contacts.transact(transfers, max(self.now_ns(), self._free_ns))
            try:
                await self._until(outcome.end_ns)
            finally:
                self._arm(self._due_ns())
            return outcome

    async def _until(self, end_ns: int) -> None:
        """Let the transaction end, even if the caller does not wait for it."""
        self._free_ns = end_ns
        await asyncio.sleep(max(end_ns - self.now_ns(), 0) / 1e9)

    # frames

    async def start_frames(self, frames: Frames) -> None:
        """Begin to poll, or go on in another way."""
        if self._frames is None:
            self._frame_ns = self._told_ns = self.now_ns()
        self._catch_up(self.now_ns())
        self._frames = frames
        self._last = None
        self._arm(self._due_ns())

    async def stop_frames(self) -> None:
        """Stop polling."""
        self.abort()

    def _arm(self, at_ns: int) -> None:
        self._disarm()
        if self._frames is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(at_ns, self._free_ns) / 1e9, self._frame)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _period_ns(self) -> int:
        assert self._frames is not None
        return round(1e9 / self._frames.rate_hz)

    def _due_ns(self) -> int:
        """Return when the next poll is due; later when the polls until the next heartbeat are all alike."""
        if self._frames is None:
            return self._frame_ns
        self._skipping = self._rests()
        skipped = max((self._told_ns + HEARTBEAT_NS - self._frame_ns) // self._period_ns, 1) if self._skipping else 0
        return self._frame_ns + skipped * self._period_ns + self._lead_ns

    @property
    def _lead_ns(self) -> int:
        """How long after the start of a frame its poll comes."""
        return 0 if self._frames is None else self._frames.shutter_ns + self._frames.lead_ns

    def _rests(self) -> bool:
        """Tell whether the polls from here on are like the last one, so that nobody needs to do them.

        The last one must have found the lens at rest, and no hand may have touched it since.
        """
        frames = self._frames
        alike = frames is not None and frames.report is Report.CHANGES and self._last is not None
        alike = alike and self._rested_touches == self._touches
        return alike and self._may_skip and self.glass is not None and self.glass.at_rest(self._frame_ns)

    def _touched(self) -> None:
        """Poll again, now that somebody has turned something."""
        self._catch_up(self.now_ns())
        self._touches += 1
        if self._timer is not None:
            self._arm(self._due_ns())

    def _catch_up(self, until_ns: int) -> None:
        """Count the polls that were left out before this time, for they were alike."""
        if self._frames is not None and self._skipping:
            skipped = max((until_ns - self._lead_ns - self._frame_ns) // self._period_ns + 1, 0)
            self._alike += skipped
            self._frame_ns += skipped * self._period_ns

    def _frame(self) -> None:
        """Do one poll, and tell of it when it has ended."""
        now_ns = self.now_ns()
        if self._free_ns > now_ns:
            self._arm(self._free_ns)
            return
        assert self._frames is not None
        self._catch_up(now_ns - self._period_ns // 2)
        poll = self._frames.poll
        touches = self._touches if self.glass is not None and self.glass.at_rest(now_ns) else None
        outcome = self._contacts.transact(tuple(transfers_of(poll, Shape.READ)), now_ns)
        self._free_ns = outcome.end_ns
        self._frame_ns += self._period_ns
        if outcome.end_ns > self._frame_ns:
            self._frame_ns = outcome.end_ns
        asyncio.get_running_loop().call_at(outcome.end_ns / 1e9, self._tell, outcome, self._series, touches)
        self._arm(self._due_ns())

    def _tell(self, outcome: Outcome, series: int, touches: int | None) -> None:
        frames = self._frames
        if frames is None or self._series != series:
            return
        self._rested_touches = touches
        if frames.report is Report.CHANGES and outcome.said == self._last and outcome.broke_off is None:
            self._alike += 1
            if outcome.end_ns - self._told_ns >= HEARTBEAT_NS:
                self._told_ns = outcome.end_ns
                self.tell(Heartbeat(outcome.end_ns, self._take_alike()))
            return
        self._last = outcome.said
        self._told_ns = outcome.end_ns
        self.tell(Polled(outcome, self._take_alike()))
        self._arm(self._due_ns())

    def _take_alike(self) -> int:
        alike, self._alike = self._alike, 0
        return alike

    async def close(self) -> None:
        """Let go of the lens."""
        self.abort()

    def abort(self) -> None:
        """Let go of the lens."""
        self._frames = None
        self._series += 1
        self._disarm()


_KEYS = ("fault", "pins", "seed", "timing")


def _options(query: str) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise TransportError(f"sim: has no key {key}; keys: {', '.join(_KEYS)}")
        options.setdefault(key, []).append(value)
    return options


def _number(options: dict[str, list[str]], key: str) -> int:
    value = options.get(key, ["0"])[-1]
    if not value.isdecimal():
        raise TransportError(f"sim: {key} is a number, not {value!r}")
    return int(value)
