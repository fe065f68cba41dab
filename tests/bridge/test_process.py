"""L2: the firmware's logic as a process of its own, behind a PTY or a socket, with a simulated lens."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from m43drivers.bridge.protocol import (
    BadFrame,
    Decoder,
    Done,
    Frame,
    FramesStarted,
    Hello,
    HelloAnswer,
    LinkMessage,
    Polled,
    Power,
    PowerAnswer,
    StartFrames,
    Stop,
    Stopped,
    Transact,
    encode,
)
from m43drivers.transport import Break, Report
from m43proto.checksum import wire_sum
from m43proto.messages import Drive, Identify, Initialise, Status
from m43proto.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LIMIT_S = 5.0

needs_pty = pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no PTYs on this system")


class Host:
    """A host's end of a byte stream."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.heard: list[Frame | BadFrame] = []
        self._decoder = Decoder()

    def read(self) -> bytes:
        """Return what comes within the limit; nothing when the other end is gone."""
        readable, _, _ = select.select([self.fd], [], [], LIMIT_S)
        assert readable, "the bridge says nothing"
        try:
            return os.read(self.fd, 4096)
        except OSError:
            return b""

    def hear(self) -> list[Frame | BadFrame]:
        data = self.read()
        assert data, "the bridge is gone"
        new = self._decoder.feed(data)
        self.heard += new
        return new

    def ask(self, seq: int, message: LinkMessage) -> LinkMessage:
        os.write(self.fd, encode(seq, message))
        while True:
            for frame in self.hear():
                if isinstance(frame, Frame) and frame.seq == seq:
                    return frame.message

    def polls(self, count: int) -> list[Polled]:
        found: list[Polled] = []
        while len(found) < count:
            found += [
                frame.message for frame in self.hear() if isinstance(frame, Frame) and isinstance(frame.message, Polled)
            ]
        return found


@contextmanager
def bridge(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "m43drivers.bridge.process", *options], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def on_pty(*options: str) -> Iterator[Host]:
    with bridge("--pty", *options) as (_, name):
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        try:
            yield Host(fd)
        finally:
            os.close(fd)


def read_block(done: LinkMessage) -> bytes:
    """Return the data of a block that was read, with all sums and its length checked."""
    assert isinstance(done, Done)
    assert done.broke_off is None
    length, data = int.from_bytes(done.said[1:3], "little"), done.said[3:-1]
    assert length == len(data) + 1
    assert done.said[-1] == wire_sum(data)
    return data


def frames_of(period_us: int = 16_667) -> StartFrames:
    return StartFrames(period_us, 500, 1_500, Report.ALL, Status.request())


@needs_pty
def test_a_session_over_a_pty() -> None:
    with on_pty() as host:
        hello = host.ask(1, Hello())
        assert isinstance(hello, HelloAnswer)
        assert (hello.version, hello.name) == (1, "m43 bridge, simulated")
        woke = host.ask(2, Power(on=True))
        assert isinstance(woke, PowerAnswer)
        assert woke.woke
        done = host.ask(3, Transact(Initialise.request(), Shape.COMPLETE))
        assert isinstance(done, Done)
        assert (done.said, done.broke_off) == (bytes([0xA2, 0]), None)
        assert done.end_us - done.start_us > 480_000, "bus time is that of the lens"
        identity = Identify.parse(bytes(2) + read_block(host.ask(4, Transact(Identify.request(), Shape.READ))))
        assert identity.serial == "AAA243841"
        drive = Drive(focus_operation="move", focus_target=300)
        done = host.ask(5, Transact(drive.command, Shape.WRITE, drive.block))
        assert isinstance(done, Done)
        assert done.said == bytes([wire_sum(drive.command), wire_sum(drive.block)])
        assert host.ask(6, frames_of()) == FramesStarted()
        polls = host.polls(20)
        assert host.ask(7, Stop()) == Stopped()
        assert len({poll.said for poll in polls}) > 5, "the focus moves"
        gaps = [after.start_us - before.start_us for before, after in itertools.pairwise(polls)]
        assert min(gaps) > 10_000
        off = host.ask(8, Power(on=False))
        assert isinstance(off, PowerAnswer)
        assert not off.woke
        done = host.ask(9, Transact(Status.request(), Shape.READ))
        assert isinstance(done, Done)
        assert (done.broke_off, done.said) == (Break.NO_ANSWER, b"")
        assert done.end_us - done.start_us < 50_000


def test_a_session_over_a_socket_and_the_next_host() -> None:
    with bridge("--socket", "localhost:0", "--profile", "olympus-45") as (_, name):
        address, _, port = name.rpartition(":")
        boots = set()
        for _ in range(2):
            with socket.create_connection((address, int(port))) as connection:
                host = Host(connection.fileno())
                hello = host.ask(1, Hello())
                assert isinstance(hello, HelloAnswer)
                boots.add(hello.boot_id)
                host.ask(2, Power(on=True))
                identity = read_block(host.ask(3, Transact(Identify.request(), Shape.READ)))
                assert Identify.parse(bytes(2) + identity).model == "11"
        assert len(boots) == 1


@needs_pty
@pytest.mark.parametrize(
    ("fault", "message", "shape", "broke_off"),
    [
        ("lens_ack_stuck_low@1", Status, Shape.READ, Break.NO_ANSWER),
        ("yanked@7", Status, Shape.READ, Break.SILENT),
        ("busy_for_ever", Initialise, Shape.COMPLETE, Break.BUSY),
        ("length_off_by_one", Status, Shape.READ, Break.SILENT),
    ],
)
def test_where_it_broke_off_is_told(
    fault: str, message: type[Status | Initialise], shape: Shape, broke_off: Break
) -> None:
    with on_pty("--fault", fault) as host:
        host.ask(1, Power(on=True))
        done = host.ask(2, Transact(message.request(), shape))
        assert isinstance(done, Done)
        assert done.broke_off is broke_off


@needs_pty
def test_garbage_between_the_frames() -> None:
    with on_pty("--garbage-every", "2") as host:
        for seq in range(1, 9):
            assert isinstance(host.ask(seq, Hello()), HelloAnswer)
        assert 3 <= len([frame for frame in host.heard if isinstance(frame, BadFrame)]) <= 4


@needs_pty
@pytest.mark.parametrize("size", [1, 20, 41])
def test_it_dies_at_a_byte(size: int) -> None:
    with bridge("--pty", "--die-after", str(size)) as (process, name):
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        host = Host(fd)
        os.write(fd, encode(1, Hello()) + encode(2, Hello()))
        heard = b""
        while data := host.read():
            heard += data
        os.close(fd)
        assert len(heard) <= size
        assert process.wait(LIMIT_S) == 0


def fill(fd: int) -> None:
    for _ in range(1_000):
        os.write(fd, bytes(1_000))


@needs_pty
def test_it_stops_reading() -> None:
    with on_pty("--stop-reading-after", "6") as host:
        os.set_blocking(host.fd, False)
        host.ask(1, Hello())
        with pytest.raises(BlockingIOError):
            fill(host.fd)


def test_real_time_takes_its_time() -> None:
    with bridge("--socket", "localhost:0", "--realtime") as (_, name):
        address, _, port = name.rpartition(":")
        with socket.create_connection((address, int(port))) as connection:
            host = Host(connection.fileno())
            began_s = time.monotonic()
            host.ask(1, Power(on=True))
            host.ask(2, Hello())
            assert time.monotonic() - began_s > 0.035


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--socket", "localhost"], "'localhost' is no HOST:PORT"),
        (["--socket", "localhost:0", "--die-after", "0"], "'0' is no number from 1"),
        (["--socket", "localhost:0", "--profile", "nikon"], "no lens profile is called nikon"),
        (["--socket", "localhost:0", "--fault", "rust"], "no fault is called rust"),
        (["--socket", "localhost:0", "--body", "nonsense"], "nonsense"),
        (["--socket", "localhost:0", "--deaf", "5"], "'5' is no AT:FOR in milliseconds, such as 500:800"),
        ([], "one of the arguments --pty --socket is required"),
    ],
)
def test_wrong_usage_is_told(options: list[str], told: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "m43drivers.bridge.process", *options], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_without_the_repository_it_says_so(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "drivers" / "m43drivers", tmp_path / "m43drivers")
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from m43drivers.bridge.process import main; sys.exit(main())", "--pty"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr == (
        "error: the firmware of the bridge is not in the installed package; run this in a clone of the repository\n"
    )
