"""Random schedules for the driver: faults, lenses that are changed, calls, cancels: ``python -m tests.body.schedules``.

A seed fixes everything: which lens, which faults, who calls what and when, what is cancelled, and in which order runs
what is ready at one moment. Whatever happens, these hold:

* no status and no identity is accepted that the lens did not really say in that transaction;
* nothing hangs: every call, and the whole schedule, ends within its limit of virtual time;
* every call ends with a result, a typed error, or cancelled when it was cancelled;
* the driver comes back to ready or driving, or rests in a state with a name: asleep, passive, failed;
* with the faults gone, a new lens and a wake, the next exchange is right;
* no task is left behind.

`FACTORIES` is where transports of another kind join in.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import random
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from m43drivers.body import BodyDriver, Lens, LensStatus, Life
from m43drivers.body.errors import LensError, LensFailedError
from m43drivers.bridge.contacts import SimulatedContacts
from m43drivers.simulator.contacts import Contacts
from m43drivers.simulator.faults import FAULTS, NO_FAULTS, FaultKind, faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43drivers.streams.faulty import LinkFaults
from m43drivers.transport import Break, TransportError, TransportLostError
from m43drivers.transports.bridge import BridgeTransport
from m43drivers.transports.loopback import LoopbackStream
from m43drivers.transports.sim import NO_LENS, SimTransport
from m43proto.messages import PUBLIC, Identify, Status
from m43proto.timing import LENS_TIMINGS
from tests.virtualtime import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from m43drivers.transport import Outcome
    from m43proto.exchange import Transfer

T = TypeVar("T")

CALL_LIMIT_S = 60.0
"""Longer than any call may take: three start-ups of a lens that is busy for ever, and what waits before it."""

LINK_REST_S = 3.0
"""Behind the last stall of a link, until nothing of before is under way any more."""

REST_LIMIT_S = 60.0
"""How long the driver may take to come to a state in which it rests."""

SAID_FOR_NS = 80_000_000
"""A poll is told so soon behind the lens's answer, at the latest."""

RESTING = (Life.READY, Life.DRIVING, Life.ASLEEP, Life.PASSIVE, Life.FAILED)


@dataclass
class Witness:
    """Notes what the simulated lens really says, and holds what the driver accepts against it.

    Attributes:
        said: times and blocks of the last statuses of the lens that is on the mount, and of those before it.
        identities: the identities that were said.
        wrong: what the driver accepted and the lens did not say.
        timed: whether the lens's time is the driver's; over a link it is the bridge's, and stalls come on top.
    """

    said: list[tuple[int, bytes]] = field(default_factory=list)
    identities: set[bytes] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    accepted: int = 0
    timed: bool = True

    def watch(self, glass: SimulatedLens) -> None:
        """Note what this lens says, before the bus spoils any of it."""
        answer = glass.answer

        def noted(command: bytes, now_ns: int) -> object:
            given = answer(command, now_ns)
            if command.startswith(Status.spec.opcode):
                self.said = [*self.said[-20 if self.timed else -600 :], (now_ns, given.block)]
            elif command.startswith(Identify.spec.opcode):
                self.identities.add(given.block)
            return given

        glass.answer = noted  # type: ignore[method-assign, assignment]

    def accept(self, status: LensStatus) -> None:
        """Hold a status that the driver accepted against what was said."""
        self.accepted += 1
        if status.message is None:
            return
        block = status.message.block
        if not any(block == one and (0 <= status.t_ns - at <= SAID_FOR_NS or not self.timed) for at, one in self.said):
            self.wrong.append(f"status {block.hex()} at {status.t_ns} was not said")

    def identify(self, lens: Lens) -> None:
        """Hold an identity that the driver accepted against what was said."""
        if lens.identity is not None and lens.identity.block not in self.identities:
            self.wrong.append(f"identity {lens.identity} was not said")


class NoisyContacts(Contacts):
    """Contacts at which now and then a bit of the lens's turns over, or the rest of what it says is lost.

    One bit at a time: that is what the sums of the bus can show. More at once they may miss.

    Args:
        contacts: the contacts without noise.
        rng: chance.
    """

    rate = 0.02

    def __init__(self, contacts: Contacts, rng: random.Random) -> None:
        self._contacts = contacts
        self._rng = rng

    def power(self, now_ns: int, *, on: bool) -> tuple[bool, int]:
        """Raise or drop SLEEP."""
        return self._contacts.power(now_ns, on=on)

    def transact(self, transfers: Sequence[Transfer], now_ns: int) -> Outcome:
        """Carry out one transaction."""
        outcome = self._contacts.transact(transfers, now_ns)
        if not outcome.said or self._rng.random() > self.rate:
            return outcome
        at = self._rng.randrange(len(outcome.said))
        if self._rng.random() < 0.3:
            return dataclasses.replace(outcome, said=outcome.said[:at], broke_off=Break.SILENT)
        said = bytearray(outcome.said)
        said[at] ^= 1 << self._rng.randrange(8)
        return dataclasses.replace(outcome, said=bytes(said))


class WatchedSim(SimTransport):
    """The simulated lens, with a witness, and with noise if chance is given for it."""

    def __init__(self, address: str, witness: Witness, noise: random.Random | None = None) -> None:
        self.witness = witness
        self.noise = noise
        super().__init__(address)

    def change_lens(self, name: str) -> None:
        """Put another lens on."""
        super().change_lens(name)
        if self.glass is not None:
            self.witness.watch(self.glass)
        if self.noise is not None:
            self._contacts = NoisyContacts(self._contacts, self.noise)
            self._may_skip = False

    async def heal(self) -> None:
        """Put a lens on that has no faults, and end the noise."""
        self._options.pop("fault", None)
        self.noise = None
        self.change_lens("olympus-14-42")


def random_fault(rng: random.Random, *, pins: bool) -> str:
    """Return a fault, and where it strikes; up to the end of the start-up, or in the polls behind it."""
    names = [name for name, fault in FAULTS.items() if pins or fault.kind is not FaultKind.PINS]
    fault = FAULTS[rng.choice(names)]
    longest = 400 if fault.unit == "byte" else 40
    return f"{fault.name}@{rng.randint(1, longest)}" if rng.random() < 0.85 else fault.name


def sim_address(rng: random.Random, *, pins: bool) -> str:
    """Return the address of a simulated lens with a few faults."""
    names = {text.partition("@")[0]: text for text in (random_fault(rng, pins=pins) for _ in range(rng.randint(0, 3)))}
    name = NO_LENS if rng.random() < 0.05 else rng.choice(list(PROFILES))
    options = [f"fault={text}" for text in names.values()] + (["pins=1"] if pins else [])
    return f"{name}?{'&'.join(options)}"


def over_bytes(rng: random.Random, witness: Witness) -> WatchedSim:
    """Return a simulated lens that exchanges whole bytes."""
    return WatchedSim(sim_address(rng, pins=False), witness)


def over_pins(rng: random.Random, witness: Witness) -> WatchedSim:
    """Return a simulated lens at the pins."""
    return WatchedSim(sim_address(rng, pins=True), witness)


def over_noise(rng: random.Random, witness: Witness) -> WatchedSim:
    """Return a simulated lens at contacts with noise."""
    return WatchedSim(sim_address(rng, pins=False), witness, rng)


class WatchedLoopback(BridgeTransport):
    """A bridge in this process over a link that does wrong, with a witness of its lens.

    Args:
        rng: chance: what the link does wrong, and when.
        witness: watches the lens.
        fault: what the lens does wrong, or an empty string.
    """

    def __init__(self, rng: random.Random, witness: Witness, fault: str) -> None:
        name = rng.choice(list(PROFILES))
        self.glass: SimulatedLens | None = SimulatedLens(PROFILES[name], faults_named([fault] if fault else []))
        self.link = random_link(rng)
        self._seed = rng.randrange(2**32)
        self._loopback: LoopbackStream | None = None
        witness.timed = False
        witness.watch(self.glass)
        super().__init__(f"loopback:{name}?{fault} {self.link}", self._opened)

    async def _opened(self) -> LoopbackStream:
        assert self.glass is not None
        lens = pin_lens(self.glass, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of)
        self._loopback = LoopbackStream(SimulatedContacts(lens), self.link, self._seed)
        return self._loopback

    def change_lens(self, name: str) -> None:
        """Unplug the bridge: the lens at its contacts stays."""
        if self._loopback is not None:
            self._loopback.unplug()

    async def heal(self) -> None:
        """End what link and lens do wrong, and wait until nothing of before is under way any more."""
        if self.glass is not None:
            self.glass.faults = NO_FAULTS
        if self._loopback is not None:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(self._loopback.heal() - loop.time(), 0) + LINK_REST_S)


def random_link(rng: random.Random) -> LinkFaults:
    """Return a link that does a few things wrong."""
    wrong = {
        "loss": rng.choice([0.0005, 0.002, 0.02]),
        "flip": rng.choice([0.0005, 0.002, 0.02]),
        "duplicate": rng.choice([0.01, 0.1]),
        "stall": rng.choice([0.01, 0.1]),
        "dribble": rng.choice([0.1, 1.0]),
        "delay_s": rng.choice([0.002, 0.05]),
    }
    chosen = rng.sample(sorted(wrong), rng.randint(1, 3))
    return LinkFaults(stall_s=rng.choice([0.05, 0.4, 2.0]), **{key: wrong[key] for key in chosen})


def over_link(rng: random.Random, witness: Witness) -> WatchedLoopback:
    """Return a bridge in this process over a link that does wrong."""
    return WatchedLoopback(rng, witness, random_fault(rng, pins=False) if rng.random() < 0.3 else "")


Watched: TypeAlias = WatchedSim | WatchedLoopback

FACTORIES: list[tuple[int, Callable[[random.Random, Witness], Watched]]] = [
    (7, over_bytes),
    (2, over_noise),
    (1, over_pins),
    (1, over_link),
]
"""Transports to drive, each with how often: make one from chance, and have its lens watched."""


@dataclass
class Schedule:
    """One schedule.

    Attributes:
        seed: fixes it.
        tale: what happened, for a person.
        ended: how each call ended, by the name of its error or result.
    """

    seed: int
    tale: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def run(self) -> Witness:
        """Run it on virtual time.

        Raises:
            AssertionError: something does not hold.
        """
        return run(self._run(), seed=self.seed)

    async def _run(self) -> Witness:
        rng = random.Random(self.seed)
        witness = Witness()
        weights, factories = zip(*FACTORIES, strict=True)
        transport = rng.choices(factories, weights)[0](rng, witness)
        self.tale.append(transport.url)
        driver = BodyDriver(transport, dialect=rng.choice(["E-P1", "E-PL1"]), frame_hz=rng.choice([30, 60, 120]))
        take = Lens.take

        def taken(lens: Lens, status: LensStatus) -> None:
            if lens.driver is driver:
                witness.accept(status)
                witness.identify(lens)
            take(lens, status)

        Lens.take = taken  # type: ignore[method-assign, assignment]
        try:
            await self._live(rng, driver, transport)
        finally:
            Lens.take = take  # type: ignore[method-assign]
            await self._limited(driver.close(), 1.5)
        assert not witness.wrong, witness.wrong[:3]
        return witness

    async def _live(self, rng: random.Random, driver: BodyDriver, transport: Watched) -> None:
        try:
            lens = await self._limited(driver.open())
        except (LensError, TransportError) as error:
            self.ended.append(type(error).__name__)
            return
        callers = [asyncio.create_task(self._caller(rng, driver)) for _ in range(rng.randint(1, 3))]
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(rng.expovariate(2.0))
            self._disturb(rng, transport, driver)
        await self._limited(asyncio.wait(callers), 10 * CALL_LIMIT_S)
        for caller in callers:
            caller.result()
        await self._come_to_rest(driver)
        await self._come_back(driver, transport)
        assert lens is not None

    def _disturb(self, rng: random.Random, transport: Watched, driver: BodyDriver) -> None:
        kind = rng.choice(["change", "yank", "zoom", "focus ring"])
        self.tale.append(f"{kind} at {asyncio.get_running_loop().time():.3f}, {driver.life}")
        now_ns = transport.now_ns()
        if kind == "change":
            transport.change_lens(rng.choice(list(PROFILES)))
        elif kind == "yank":
            transport.change_lens(NO_LENS)
        elif transport.glass is not None and kind == "zoom":
            transport.glass.turn_zoom(rng.randint(0, 31), now_ns)
        elif transport.glass is not None:
            transport.glass.turn_focus_ring(rng.randint(-50, 50), now_ns)

    async def _caller(self, rng: random.Random, driver: BodyDriver) -> None:
        """Call this and that; cancel some of it."""
        for _ in range(rng.randint(1, 4)):
            if rng.random() < 0.5:
                await asyncio.sleep(rng.expovariate(10.0))
            name = rng.choice(list(CALLS))
            self.tale.append(f"{name} at {asyncio.get_running_loop().time():.3f}, {driver.life}")
            call = asyncio.create_task(self._called(partial(CALLS[name], rng, driver)))
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice([0, 0, 0.0005, 0.003, 0.02, 0.2]))
                cancelled = call.cancel()
                await self._limited(asyncio.wait([call]))
                assert call.cancelled() or call.result() or not cancelled
            else:
                await self._limited(asyncio.wait([call]))
            self.ended.append("cancelled" if call.cancelled() else call.result())

    async def _called(self, call: Callable[[], Awaitable[object]]) -> str:
        try:
            await call()
        except LensError as error:
            if isinstance(error, LensFailedError) and error.__cause__ is None:
                raise AssertionError("a failure has no cause") from error
            return type(error).__name__
        return "done"

    async def _come_to_rest(self, driver: BodyDriver) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + REST_LIMIT_S
        while driver.life not in RESTING:
            assert loop.time() < until_s, f"never at rest, but {driver.life}"
            await asyncio.sleep(0.05)
        self.tale.append(f"rests {driver.life}")

    async def _come_back(self, driver: BodyDriver, transport: Watched) -> None:
        """With a lens without faults, everything works again."""
        await transport.heal()
        if isinstance(driver.fatal, TransportLostError):
            return
        try:
            lens = await self._limited(driver.wake())
        except LensFailedError as error:
            if not isinstance(error.__cause__, TransportLostError):
                raise
            return
        if driver.life in (Life.READY, Life.DRIVING):
            await asyncio.sleep(3.0)
            assert driver.lens is not None
            lens = driver.lens
        assert lens.identity is not None
        assert transport.glass is not None
        status = await self._limited(lens.status_now())
        if isinstance(transport, WatchedSim):
            assert status.focus_position == round(transport.glass.focus.position(status.t_ns))
        ended = await self._limited(lens.focus_to(40))
        assert ended is not None
        assert abs((ended.focus_position or 0) - 40) <= 3

    async def _limited(self, call: Awaitable[T] | Coroutine[object, object, T], limit_s: float = CALL_LIMIT_S) -> T:
        """Await something; that it takes too long is a hang."""
        task = asyncio.ensure_future(call)
        await asyncio.wait([task], timeout=limit_s)
        if not task.done():
            task.cancel()
            raise AssertionError(f"{task} takes longer than {limit_s} s")
        return task.result()


def _lens(driver: BodyDriver) -> Lens:
    assert driver.lens is not None
    return driver.lens


async def _read(rng: random.Random, driver: BodyDriver) -> None:
    count = rng.randint(1, 30)
    try:
        async with asyncio.timeout(2):
            async for _ in _lens(driver).statuses():
                count -= 1
                if not count:
                    return
    except TimeoutError:
        return


async def _raw(rng: random.Random, driver: BodyDriver) -> None:
    command = rng.choice(["c1f90000", "c0f60000", "b0f20000", "60f00000", "a0f50100", "b1880302", "60800306"])
    data = bytes(9) if command.startswith("6080") else bytes(4) if command[0] == "6" else b""
    await _lens(driver).raw(bytes.fromhex(command), data, unsafe=True)


CALLS: dict[str, Callable[[random.Random, BodyDriver], Awaitable[object]]] = {
    "aperture": lambda rng, driver: _lens(driver).set_aperture(rng.choice([4.0, 5.6, 8.0, 11.0]), clamp=True),
    "wide open": lambda rng, driver: _lens(driver).set_aperture(wide_open=True),
    "focus": lambda rng, driver: _lens(driver).focus_to(rng.randint(-100, 500)),
    "focus by": lambda rng, driver: _lens(driver).focus_by(rng.randint(-50, 50)),
    "focus, no wait": lambda rng, driver: _lens(driver).focus_to(rng.randint(-100, 500), wait=False),
    "distance": lambda rng, driver: _lens(driver).focus_to(distance_m=rng.uniform(0.3, 10)),
    "near": lambda rng, driver: _lens(driver).focus_near(),
    "infinity": lambda rng, driver: _lens(driver).focus_infinity(),
    "stop": lambda rng, driver: _lens(driver).stop_focus(),
    "ring": lambda rng, driver: _lens(driver).set_ring_direction(rng.choice(["forward", "reverse"])),
    "status": lambda rng, driver: _lens(driver).status_now(),
    "raw": _raw,
    "read": _read,
    "sleep": lambda rng, driver: driver.sleep(),
    "wake": lambda rng, driver: driver.wake(),
}
"""What a caller may call."""


def main(arguments: list[str] | None = None) -> int:
    """Run many schedules, or one; return 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.body.schedules", description="Random schedules.")
    parser.add_argument("--seed", type=int, help="run only this one, and tell what happens")
    parser.add_argument("--count", type=int, default=10_000, help="how many to run, from seed 0 (default 10000)")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL if chosen.seed is None else logging.INFO)
    seeds = range(chosen.count) if chosen.seed is None else [chosen.seed]
    start_s, failed, accepted = time.perf_counter(), 0, 0
    for seed in seeds:
        schedule = Schedule(seed)
        try:
            accepted += schedule.run().accepted
        except (Exception, asyncio.CancelledError) as error:
            failed += 1
            print(f"--seed {seed}: {type(error).__name__}: {error}", *schedule.tale, sep="\n    ")
            if chosen.seed is not None:
                raise
    if chosen.seed is not None:
        print(*schedule.tale, *schedule.ended, sep="\n")
    print(
        f"{len(seeds)} schedules, {failed} failed, {accepted} statuses accepted, {time.perf_counter() - start_s:.1f} s"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
