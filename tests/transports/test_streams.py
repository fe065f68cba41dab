"""Byte streams over real pseudo terminals and TCP connections: they never freeze, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import socket
import termios
import threading
import tty
from typing import TYPE_CHECKING

import pytest

from m43drivers.streams.base import MOST_UNSENT, StreamFullError
from m43drivers.streams.serialport import open_serial
from m43drivers.streams.tcp import open_tcp
from m43drivers.transport import TransportError, TransportLostError, TransportTimeoutError
from tests.transports.support import Ear, Latency, Terminal, descriptors, of_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43drivers.streams.base import ByteStream

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")

LONG = random.Random(1).randbytes(70_000)


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    before = descriptors()
    yield
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(5)
    assert descriptors() == before


@pytest.fixture(params=["watched", "threads"])
def threads(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "threads")


async def opened(terminal: Terminal, threads: bool = False) -> tuple[ByteStream, Ear]:
    stream, ear = await open_serial(terminal.path, threads=threads), Ear()
    stream.start(ear.take, ear.lost)
    return stream, ear


async def test_bytes_go_both_ways(threads: bool) -> None:
    with Terminal() as terminal:
        stream, ear = await opened(terminal, threads)
        stream.write(bytes(range(256)))
        assert await terminal.read(256) == bytes(range(256))
        os.write(terminal.master, bytes(range(256)))
        assert await ear.heard(256) == bytes(range(256))
        await stream.close(1)


async def test_long_writes_go_in_parts_and_in_order(threads: bool) -> None:
    with Terminal() as terminal:
        stream, ear = await opened(terminal, threads)
        stream.write(LONG[:60_000])
        stream.write(LONG[60_000:])
        assert stream.unsent > 0
        assert await terminal.read(len(LONG)) == LONG
        await stream.drain(1)
        assert (stream.unsent, ear.errors) == (0, [])
        stream.abort()


@of_times
async def test_a_peer_that_reads_nothing_costs_nothing() -> None:
    """The bar that stock pyserial misses: with it, the loop spins for ever in the first write that does not fit."""
    with Terminal() as terminal:
        async with Latency() as latency:
            stream, _ = await opened(terminal)
            stream.write(LONG)
            began = asyncio.get_running_loop().time()
            with pytest.raises(TransportTimeoutError, match="did not take"):
                await stream.drain(0.2)
            assert asyncio.get_running_loop().time() - began < 0.25
            held = stream.unsent
            with pytest.raises(StreamFullError, match=f"{held} bytes wait"):
                stream.write(bytes(MOST_UNSENT - held + 1))
            assert stream.unsent == held
            began = asyncio.get_running_loop().time()
            await stream.close(0.2)
            assert asyncio.get_running_loop().time() - began < 0.25
    assert latency.worst_s < 0.02


@of_times
async def test_threads_keep_the_loop_free_of_a_peer_that_reads_nothing() -> None:
    with Terminal() as terminal:
        async with Latency() as latency:
            stream, _ = await opened(terminal, threads=True)
            stream.write(LONG)
            with pytest.raises(TransportTimeoutError):
                await stream.drain(0.1)
            await stream.close(0.1)
    assert latency.worst_s < 0.05


async def test_what_is_discarded_is_not_sent() -> None:
    with Terminal() as terminal:
        stream, _ = await opened(terminal)
        stream.write(LONG)
        gone = len(LONG) - stream.unsent
        assert stream.discard() == len(LONG) - gone
        assert stream.discard() == 0
        await stream.drain(0.1)
        assert await terminal.read(gone) == LONG[:gone]
        stream.write(b"next")
        assert await terminal.read(4) == b"next"
        stream.abort()


async def test_a_waiting_drain_ends_when_it_is_cancelled_or_the_stream_closed() -> None:
    with Terminal() as terminal:
        stream, _ = await opened(terminal)
        stream.write(LONG)
        waiting = [asyncio.create_task(stream.drain(10)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        stream.abort()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in results] == [asyncio.CancelledError, TransportLostError]


async def test_a_close_that_is_cancelled_lets_go() -> None:
    with Terminal() as terminal:
        stream, _ = await opened(terminal)
        stream.write(LONG)
        closing = asyncio.create_task(stream.close(10))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(TransportLostError, match="is closed"):
            stream.write(b"more")


async def test_unplugging_is_one_error(threads: bool) -> None:
    with Terminal() as terminal:
        stream, ear = await opened(terminal, threads)
        os.write(terminal.master, b"last words")
        await ear.heard(10)
        terminal.unplug()
        async with asyncio.timeout(2):
            await ear.gone.wait()
        assert len(ear.errors) == 1
        assert isinstance(ear.errors[0], TransportLostError)
        assert str(ear.errors[0]).startswith(f"{terminal.path}: is gone")
        for _ in range(2):
            with pytest.raises(TransportLostError) as caught:
                stream.write(b"more")
            assert caught.value.__cause__ is ear.errors[0]
        with pytest.raises(TransportLostError):
            await stream.drain(1)
        await stream.close(1)
        stream.abort()


async def test_unplugging_under_a_write_is_one_error() -> None:
    with Terminal() as terminal:
        stream, ear = await opened(terminal)
        stream.write(LONG)
        drain = asyncio.create_task(stream.drain(5))
        await asyncio.sleep(0)
        terminal.unplug()
        with pytest.raises(TransportLostError, match="is gone"):
            await drain
        assert len(ear.errors) == 1


async def test_unplugging_is_noticed_by_a_write_first() -> None:
    with Terminal() as terminal:
        stream, ear = await opened(terminal)
        terminal.unplug()
        with pytest.raises(TransportLostError):
            stream.write(b"hello")
        assert ear.errors == []
        await asyncio.sleep(0)
        assert len(ear.errors) == 1


async def test_nothing_is_told_behind_an_abort(threads: bool) -> None:
    with Terminal() as terminal:
        stream, ear = await opened(terminal, threads)
        os.write(terminal.master, b"too late")
        stream.abort()
        terminal.unplug()
        await asyncio.sleep(0.05)
        assert (bytes(ear.data), ear.errors) == (b"", [])


async def test_the_settings_of_a_port() -> None:
    with Terminal() as terminal:
        stream, _ = await opened(terminal)
        iflag, oflag, cflag, lflag, *_, characters = termios.tcgetattr(terminal.slave())
        assert not cflag & termios.HUPCL
        assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
        assert not iflag & (termios.IXON | termios.ICRNL)
        assert not oflag & termios.OPOST
        assert characters[termios.VMIN] == 1
        with pytest.raises(TransportError, match="another program has it open"):
            await open_serial(terminal.path)
        await stream.close(1)
        again, _ = await opened(terminal)
        again.abort()


async def test_ports_that_cannot_be_opened(tmp_path: object) -> None:
    for path, told in (
        ("/dev/no-such-port", "there is no such port; m43 ports"),
        (f"{tmp_path}", "cannot be opened"),
        ("/dev/null", "is no serial port"),
    ):
        with pytest.raises(TransportError, match=told) as caught:
            await open_serial(path)
        assert str(caught.value).startswith(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(TransportError, match="1200 baud starts the boot loader"):
        await open_serial("/dev/null", baud=1200)


async def test_a_connection(threads: bool) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        stream, ear = await open_tcp("127.0.0.1", server.getsockname()[1], threads=threads), Ear()
        stream.start(ear.take, ear.lost)
        peer, _ = server.accept()
        with contextlib.closing(peer):
            stream.write(b"ping")
            await stream.drain(1)
            assert peer.recv(4) == b"ping"
            peer.sendall(b"pong")
            assert await ear.heard(4) == b"pong"
        async with asyncio.timeout(2):
            await ear.gone.wait()
        assert len(ear.errors) == 1


def write_often(stream: ByteStream, count: int) -> None:
    for _ in range(count):
        stream.write(LONG)


@of_times
async def test_a_connection_that_nobody_reads() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        async with Latency() as latency:
            stream, ear = await open_tcp("127.0.0.1", server.getsockname()[1]), Ear()
            stream.start(ear.take, ear.lost)
            peer, _ = server.accept()
            with contextlib.closing(peer):
                with pytest.raises(StreamFullError):
                    write_often(stream, 1000)
                with pytest.raises(TransportTimeoutError):
                    await stream.drain(0.1)
                await stream.close(0.1)
    assert latency.worst_s < 0.02


async def test_nobody_at_an_address() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(TransportError, match=rf"^127\.0\.0\.1:{port}: cannot connect \(Connection refused\); is the"):
        await open_tcp("127.0.0.1", port)
    with pytest.raises(TransportError, match="cannot connect"):
        await open_tcp("no-such-host.invalid", 1)


def test_a_raw_terminal_is_really_what_the_tests_use() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.write(master, b"\x03\x04\n")
    assert os.read(slave, 10) == b"\x03\x04\n"
    os.close(master)
    os.close(slave)
