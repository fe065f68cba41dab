"""The transport to a bridge over real pseudo terminals: one that hangs, one that is unplugged, one as a process."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from m43drivers.bridge import requests
from m43drivers.bridge.protocol import Stop, Transact, encode
from m43drivers.transport import (
    Break,
    Frames,
    Heartbeat,
    Lost,
    Polled,
    Sign,
    TransportError,
    TransportLostError,
    TransportTimeoutError,
)
from m43drivers.transports import open_transport
from m43proto.exchange import transfers_of
from m43proto.messages import Identify, Initialise, Status
from m43proto.shapes import Shape
from tests.transports.fakebridge import FakeBridge
from tests.transports.support import Latency, Terminal, descriptors, of_times
from tests.transports.test_bridge import numbered, said_of, turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43drivers.transport import Transport

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")

SLACK_S = 0.05
LATENCY_S = 0.02


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    before = descriptors(), threading.active_count()
    yield
    assert (descriptors(), threading.active_count()) == before


class Plugged:
    """A fake bridge at the other end of a terminal.

    Attributes:
        cut: unplug when so many bytes of the answers have gone; None for never.
        deaf: unplug when so many bytes of the host have come.
    """

    def __init__(self, terminal: Terminal) -> None:
        self.bridge = FakeBridge()
        self.bridge.delay_s = 0
        self.bridge.send = self._send
        self.cut: int | None = None
        self.deaf: int | None = None
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(terminal.master, self._readable)
        self._plugged = True

    def hang(self) -> None:
        """Read and write nothing any more."""
        self._loop.remove_reader(self._terminal.master)

    def unplug(self) -> None:
        if self._plugged:
            self._plugged = False
            self.hang()
            self._terminal.unplug()

    def _readable(self) -> None:
        data = os.read(self._terminal.master, 4096 if self.deaf is None else self.deaf)
        if self.deaf is not None:
            self.deaf -= len(data)
        self.bridge.feed(data)
        if self.deaf == 0:
            self.unplug()

    def _send(self, data: bytes) -> None:
        if not self._plugged:
            return
        os.write(self._terminal.master, data if self.cut is None else data[: self.cut])
        if self.cut is not None:
            self.unplug()


def tasks() -> int:
    return len(asyncio.all_tasks())


# a bridge that hangs


@of_times
async def test_a_bridge_that_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call that waits ends within its limit, and nobody else on the loop notices anything."""
    short = {
        kind: dataclasses.replace(limit, answer_s=0.15 if kind is Transact else 0.1)
        for kind, limit in requests.LIMITS.items()
    }
    monkeypatch.setattr(requests, "LIMITS", short)
    monkeypatch.setattr(requests, "QUEUE_S", 0.3)
    loop = asyncio.get_running_loop()
    with Terminal() as terminal:
        plugged = Plugged(terminal)
        transport = open_transport(f"serial:{terminal.path}")
        await transport.open()
        plugged.hang()
        ended: dict[int, float] = {}

        async def call(number: int) -> None:
            block = bytes(8_000)
            with pytest.raises(TransportTimeoutError):
                await transport.transact(turns(b"\x60\x80\0\0", Shape.WRITE, block) if number else numbered(1))
            ended[number] = loop.time() - began

        async def stop() -> None:
            with pytest.raises(TransportTimeoutError):
                await transport.stop_frames()
            ended[-1] = loop.time() - began

        async with Latency() as latency:
            began = loop.time()
            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task(call(number))
                group.create_task(stop())
            began_closing = loop.time()
            await transport.close()
            assert loop.time() - began_closing < 1 + SLACK_S
        assert 0.15 <= ended[0] < 0.15 + SLACK_S
        assert ended[-1] < 3 * 0.1 + 0.3 + SLACK_S
        assert max(ended.values()) < 0.15 + 0.3 + SLACK_S
        assert latency.worst_s < LATENCY_S
        assert tasks() == 1


@of_times
async def test_a_bridge_that_floods_leaves_the_loop_to_others() -> None:
    with Terminal() as terminal:
        plugged = Plugged(terminal)
        transport = open_transport(f"serial:{terminal.path}")
        await transport.open()
        noise = b"\1\2\0" * 1000
        async with Latency() as latency:
            for number in range(50):
                os.write(terminal.master, noise)
                asked = numbered(number)
                assert (await transport.transact(asked)).said == said_of(asked)
        assert latency.worst_s < LATENCY_S
        await transport.close()
        plugged.hang()


# unplugged


async def lost_within(transport: Transport, signs: list[Sign]) -> None:
    """See that a call ends with the loss, and that there is one loss only."""
    async with asyncio.timeout(2):
        with pytest.raises(TransportLostError, match="is gone"):
            await transport.transact(numbered(1))
    async with asyncio.timeout(2):
        while not signs:
            await asyncio.sleep(0)
    assert [type(sign) for sign in signs] == [Lost]
    with pytest.raises(TransportLostError, match="is gone"):
        await transport.transact(numbered(1))
    await transport.close()
    assert tasks() == 1


ANSWER_SIZE = 28
REQUEST_SIZE = len(encode(8, Transact(b"\xc1\x80\0\1", Shape.READ)))


@pytest.mark.parametrize("offset", range(ANSWER_SIZE))
async def test_unplugged_at_every_byte_of_an_answer(offset: int) -> None:
    with Terminal() as terminal:
        plugged = Plugged(terminal)
        transport = open_transport(f"serial:{terminal.path}")
        signs: list[Sign] = []
        transport.tell = signs.append
        await transport.open()
        plugged.cut = offset
        await lost_within(transport, signs)


def test_an_answer_is_as_long_as_the_offsets_say() -> None:
    from m43drivers.bridge.protocol import Done

    said = said_of(numbered(1))
    assert len(encode(8, Done(None, 100_000_000, 100_000_400, said))) == ANSWER_SIZE


@pytest.mark.parametrize("offset", range(1, REQUEST_SIZE + 1))
async def test_unplugged_at_every_byte_of_a_request(offset: int) -> None:
    with Terminal() as terminal:
        plugged = Plugged(terminal)
        transport = open_transport(f"serial:{terminal.path}")
        signs: list[Sign] = []
        transport.tell = signs.append
        await transport.open()
        plugged.deaf = offset
        await lost_within(transport, signs)


async def test_plugged_in_again() -> None:
    for _ in range(3):
        with Terminal() as terminal:
            plugged = Plugged(terminal)
            transport = open_transport(f"serial:{terminal.path}")
            await transport.open()
            asked = numbered(1)
            assert (await transport.transact(asked)).said == said_of(asked)
            plugged.unplug()
            with pytest.raises(TransportLostError):
                await transport.transact(asked)
            await transport.close()


async def test_no_bridge_at_a_port() -> None:
    with Terminal() as terminal:
        transport = open_transport(f"serial:{terminal.path}")
        asyncio.get_running_loop().call_later(0.1, os.write, terminal.master, b"login: ")
        with pytest.raises(TransportTimeoutError, match=r"no bridge answers within 0\.9 s.*b'login: '"):
            await transport.open()
        assert tasks() == 1


# a bridge as a process


@contextmanager
def process(*arguments: str) -> Iterator[str]:
    """Run a bridge, and give the URL that leads to it."""
    command = [sys.executable, "-m", "m43drivers.bridge.process", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        where = running.stdout.readline().strip()
        try:
            yield f"{'serial' if '--pty' in arguments else 'socket'}:{where}"
        finally:
            running.kill()


@pytest.fixture(params=[["--pty"], ["--socket", "127.0.0.1:0"]], ids=["pty", "socket"])
def where(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


async def test_a_lens_behind_a_bridge(where: list[str]) -> None:
    with process(*where) as url:
        transport = open_transport(url)
        abilities = await transport.open()
        assert abilities.name == "m43 bridge, simulated"
        assert await transport.power(on=True)
        for kind, shape in ((Initialise, Shape.COMPLETE), (Identify, Shape.READ), (Status, Shape.READ)):
            command = kind.spec.opcode.ljust(4, b"\0") if kind is not Status else b"\xc1\x80\x01\x06"
            outcome = await transport.transact(turns(command, shape))
            assert outcome.broke_off is None
            assert outcome.said[0] == sum(command) & 0xFF
            assert outcome.start_ns <= outcome.end_ns <= transport.now_ns()
        assert await transport.power(on=False) is False
        assert (await transport.transact(turns())).broke_off is Break.NO_ANSWER
        await transport.close()


async def test_frames_of_a_bridge(where: list[str]) -> None:
    signs: list[Sign] = []
    enough = asyncio.Event()

    def tell(sign: Sign) -> None:
        signs.append(sign)
        if len([one for one in signs if isinstance(one, Polled)]) >= 30 and isinstance(sign, Heartbeat):
            enough.set()

    with process(*where, "--realtime", "--garbage-every", "3") as url:
        transport = open_transport(url)
        transport.tell = tell
        await transport.open()
        await transport.power(on=True)
        await transport.transact(turns(b"\xb0\xf2\0\0", Shape.COMPLETE))
        await transport.start_frames(Frames(100, b"\xc1\x80\x01\x06"))
        async with asyncio.timeout(10):
            await enough.wait()
        await transport.stop_frames()
        told = len(signs)
        times = [sign.outcome.start_ns for sign in signs if isinstance(sign, Polled)]
        assert times == sorted(times)
        # Never quicker than asked; a busy machine may make the simulated bridge slower, or late with its first poll.
        assert times[-1] - times[0] > 10_000_000 * (len(times) - 1) - 5_000_000
        assert (await transport.transact(turns())).broke_off is None
        assert len([one for one in signs[told:] if isinstance(one, Polled)]) == 0
        counters = next(sign.counters for sign in reversed(signs) if isinstance(sign, Heartbeat))
        assert counters["host_bad_frames"] > 10
        await transport.close()


async def test_a_process_that_ends_at_any_byte(where: list[str]) -> None:
    """Whatever it was saying: one error, at once, and nothing left."""
    whole = 300
    for offset in range(1, whole, 37):
        with process(*where, "--die-after", str(offset)) as url:
            transport = open_transport(url)
            with pytest.raises(TransportLostError, match="is gone"):
                await _use(transport)
            await transport.close()
            assert tasks() == 1


async def _use(transport: Transport) -> None:
    async with asyncio.timeout(5):
        await transport.open()
        while True:
            await transport.transact(tuple(transfers_of(b"\xc1\x80\x01\x06", Shape.READ)))


@of_times
async def test_a_process_that_stops_reading(where: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(requests.LIMITS, Transact, dataclasses.replace(requests.LIMITS[Transact], answer_s=0.2))
    monkeypatch.setitem(requests.LIMITS, Stop, dataclasses.replace(requests.LIMITS[Stop], answer_s=0.1, tries=1))
    with process(*where, "--stop-reading-after", "200") as url:
        transport = open_transport(url)
        await transport.open()
        async with Latency() as latency:
            with pytest.raises(TransportTimeoutError, match="did not answer Transact within"):
                await _use_up(transport)
            began = asyncio.get_running_loop().time()
            await transport.close()
            assert asyncio.get_running_loop().time() - began < 1 + SLACK_S
        assert latency.worst_s < LATENCY_S


async def _use_up(transport: Transport) -> None:
    while True:
        await transport.transact(turns())


async def test_two_at_one_port() -> None:
    with process("--pty") as url:
        first, second = open_transport(url), open_transport(url)
        await first.open()
        with pytest.raises(TransportError, match="another program has it open; close that first"):
            await second.open()
        await second.close()
        await first.close()
        await second.open()
        await second.close()
