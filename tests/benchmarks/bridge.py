"""What the host adds to a transaction over a bridge: ``python -m tests.benchmarks.bridge``.

Two kinds of rounds over one pseudo terminal, taking turns. In the one the other end sends back what comes, and the host
does the least that asyncio can: write, and wait for as many bytes as a transaction's answer has. In the other the other
end gives the answers that it has prepared, one for each number, and `BridgeTransport.transact` asks. So the other end
does next to nothing in both, and the difference is the host's: frames, numbers, limits, clock. The medians count. Goal:
at most 2 times the bare echo.

The other end gets a processor core of its own, as a bridge has. ``--one-core`` puts both on one, where waking the other
end costs next to nothing: the bare echo is then several times quicker, and the ratio larger, for the same work.
"""

from __future__ import annotations

import asyncio
import os
import pty
import statistics
import sys
import time
import tty

from m43drivers.bridge.protocol import (
    Counters,
    CountersAnswer,
    Decoder,
    Done,
    Frame,
    Hello,
    HelloAnswer,
    LinkMessage,
    Stop,
    Stopped,
    Transact,
    encode,
)
from m43drivers.streams.serialport import open_serial
from m43drivers.transports.bridge import BridgeTransport
from m43proto.exchange import transfers_of
from m43proto.shapes import Shape

POLL = bytes.fromhex("c1800106")
SAID = bytes.fromhex("481f00") + bytes(range(1, 31)) + b"\x11"
ROUNDS = 40
CALLS = 100
GOAL = 2.0


def peer(master: int) -> None:
    """Be the other end: echo, until a zero byte alone turns to being a bridge, and back."""
    answers = False
    while True:
        data = os.read(master, 4096)
        if data == b"E":
            answers = False
            os.write(master, b"E")
        elif data == b"B":
            answers = True
            os.write(master, b"B")
        elif not answers:
            os.write(master, data)
        else:
            os.write(master, answers_to(data))


DONE = Done(None, 100_000_000, 100_001_300, SAID)
_PREPARED = [encode(seq, DONE) for seq in range(256)]
_SMALL: dict[type[LinkMessage], LinkMessage] = {
    Hello: HelloAnswer(1, 1, 0x2002, "benchmark", ""),
    Stop: Stopped(),
    Counters: CountersAnswer(100_000_000, 0, 0, 0, 0, 0),
}


def answers_to(data: bytes) -> bytes:
    """Return the answer to a request; where a transaction has its number and kind is known without decoding it."""
    if data[2:3] == bytes([Transact.kind]):
        return _PREPARED[data[1]]
    frames = [received for received in Decoder().feed(data) if isinstance(received, Frame)]
    return b"".join(encode(frame.seq, _SMALL[type(frame.message)]) for frame in frames)


class Echo:
    """The least that a program does with asyncio and a terminal."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd)
        self._missing = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self.fd, self._readable)

    async def call(self, data: bytes) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self._missing = len(data)
        os.write(self.fd, data)
        await self._done

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)

    def _readable(self) -> None:
        self._missing -= len(os.read(self.fd, 4096))
        if self._missing <= 0:
            self._done.set_result(None)


async def echoed(path: str) -> list[float]:
    """Return the round trips of the bare echo (s)."""
    echo = Echo(path)
    await echo.call(b"E")
    data = encode(1, DONE)
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await echo.call(data)
        times.append(time.perf_counter() - began)
    await echo.call(b"B")
    echo.close()
    return times


async def transacted(path: str) -> list[float]:
    """Return the round trips of transactions (s)."""
    transport = BridgeTransport(f"serial:{path}", lambda: open_serial(path))
    await transport.open()
    turns = tuple(transfers_of(POLL, Shape.READ))
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        outcome = await transport.transact(turns)
        times.append(time.perf_counter() - began)
        assert outcome.said == SAID
    await transport.close()
    return times


async def measure(path: str) -> tuple[float, float]:
    """Return the medians of echo and transaction (s)."""
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        bare += await echoed(path)
        ours += await transacted(path)
    return statistics.median(bare), statistics.median(ours)


def main() -> int:
    """Measure and print; return 1 when the goal is missed."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    cores = sorted(os.sched_getaffinity(0))
    child = os.fork()
    os.sched_setaffinity(0, {cores[0] if child or "--one-core" in sys.argv else cores[-1]})
    if not child:
        peer(master)
    try:
        bare_s, ours_s = asyncio.run(measure(os.ttyname(slave)))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    print(f"bare echo over the terminal: {bare_s * 1e6:6.1f} us")
    print(
        f"transaction over the bridge: {ours_s * 1e6:6.1f} us, {1 / ours_s:.0f} a second, ratio {ours_s / bare_s:.2f}"
    )
    print(f"goal: ratio {GOAL:g}, {'met' if ours_s <= GOAL * bare_s else 'missed'}")
    return ours_s > GOAL * bare_s


if __name__ == "__main__":
    sys.exit(main())
