"""A bridge as a process of its own, with a simulated lens at its contacts, behind a PTY or a TCP socket.

It runs the command logic of the firmware itself (``drivers/bridge/firmware``), so a host that gets on with it gets on
with a board, as far as the electrical layer and the PIO programs do not matter. Bus time is virtual: a transaction
costs only the time to reckon it, unless ``--realtime`` is given. Frames and heartbeats come at their pace by the
clock on the wall::

    python -m m43drivers.bridge.process --pty                  # prints the path of the PTY
    python -m m43drivers.bridge.process --socket localhost:0   # prints host:port

Tests let it misbehave: see ``--help``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import select
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from m43drivers.bridge.contacts import SimulatedContacts
from m43drivers.bridge.ears import SimulatedEars
from m43drivers.bridge.firmware import firmware
from m43drivers.simulator.faults import FAULTS, faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES, profile_named
from m43drivers.simulator.script import load_script, script_names
from m43drivers.simulator.session import SessionPlan, paired
from m43drivers.simulator.stand import Stand
from m43proto.dialects import DIALECTS
from m43proto.errors import M43Error
from m43proto.messages import PUBLIC
from m43proto.timing import BODY_TIMINGS, JITTERY, LENS_TIMINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43drivers.simulator.script import BodyScript
    from m43proto.ends import PinLens

__all__ = ["Misbehaviour", "main"]

EXIT_ENDED = 0
EXIT_CANNOT = 2
EXIT_INTERRUPTED = 130

GARBAGE = b"\x05garbage\0"
"""What `--garbage-every` puts between frames: no frame, with a zero behind."""

_CHUNK = 4096
_LONGEST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What the process does wrong on purpose; None for nothing.

    Attributes:
        stop_reading_after: bytes of the host after which it reads no more.
        die_after: bytes to the host after which it ends, without a word.
        garbage_every: how many frames it sends between two pieces of garbage.
    """

    stop_reading_after: int | None = None
    die_after: int | None = None
    garbage_every: int | None = None


class _Stream(Protocol):
    """What the bridge hangs on: a descriptor, or none while nobody is there."""

    def wait(self, *, reads: bool, writes: bool, limit_s: float) -> tuple[bool, bool]: ...
    def read(self) -> bytes: ...
    def write(self, data: bytes) -> int: ...


class _Pty:
    """The bridge's end of a PTY; the host opens the other."""

    def __init__(self) -> None:
        tty = importlib.import_module("tty")
        self._fd, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._fd, False)
        self.name = os.ttyname(self._slave)

    def wait(self, *, reads: bool, writes: bool, limit_s: float) -> tuple[bool, bool]:
        return _ready(self._fd, reads=reads, writes=writes, limit_s=limit_s)

    def read(self) -> bytes:
        return os.read(self._fd, _CHUNK)

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)


class _Socket:
    """A TCP socket that serves one host after the other."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server((host, port))
        self._host: socket.socket | None = None
        self.name = "{}:{}".format(*self._listener.getsockname()[:2])

    def wait(self, *, reads: bool, writes: bool, limit_s: float) -> tuple[bool, bool]:
        if self._host is None:
            if _ready(self._listener.fileno(), reads=True, writes=False, limit_s=limit_s)[0]:
                self._host, _ = self._listener.accept()
                self._host.setblocking(False)
                self._host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return False, False
        return _ready(self._host.fileno(), reads=reads, writes=writes, limit_s=limit_s)

    def read(self) -> bytes:
        assert self._host is not None
        try:
            data = self._host.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._let_go()
        return data

    def write(self, data: bytes) -> int:
        assert self._host is not None
        try:
            return self._host.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._let_go()
            return len(data)

    def _let_go(self) -> None:
        assert self._host is not None
        self._host.close()
        self._host = None


def _ready(fd: int, *, reads: bool, writes: bool, limit_s: float) -> tuple[bool, bool]:
    readable, writable, _ = select.select([fd] if reads else [], [fd] if writes else [], [], limit_s)
    return bool(readable), bool(writable)


class _Clock:
    """Keeps virtual time from falling behind the clock on the wall, and with `realtime` from running ahead."""

    def __init__(self, contacts: SimulatedContacts, *, realtime: bool) -> None:
        self._contacts = contacts
        self._realtime = realtime
        self._wall_ns = time.monotonic_ns()
        self._virtual_us = contacts.now_us()

    def agree(self) -> None:
        now_ns = time.monotonic_ns()
        behind_ns = now_ns - self._wall_ns - (self._contacts.now_us() - self._virtual_us) * 1_000
        if behind_ns > 0:
            self._contacts.advance(behind_ns)
        elif self._realtime:
            time.sleep(-behind_ns / 1e9)
        self._wall_ns = time.monotonic_ns()
        self._virtual_us = self._contacts.now_us()


def _serve(stream: _Stream, contacts: SimulatedContacts, wrong: Misbehaviour, *, realtime: bool) -> None:
    """Be a bridge, until it is to die."""
    module = firmware()
    bridge = module.Bridge(contacts, int.from_bytes(os.urandom(4), "little"), "m43 bridge, simulated")
    clock = _Clock(contacts, realtime=realtime)
    tainted = _Tainted(wrong.garbage_every)
    read = written = 0
    unsent = b""
    while wrong.die_after is None or written < wrong.die_after:
        clock.agree()
        bridge.step()
        unsent = unsent or tainted.of(bridge.take(_CHUNK))
        wait_s = (bridge.next_us() - contacts.now_us()) / 1e6
        hears = bridge.hears and (wrong.stop_reading_after is None or read < wrong.stop_reading_after)
        readable, writable = stream.wait(reads=hears, writes=bool(unsent), limit_s=min(max(wait_s, 0), _LONGEST_WAIT_S))
        if readable:
            data = stream.read()
            read += len(data)
            clock.agree()
            bridge.feed(data)
        if writable:
            size = len(unsent) if wrong.die_after is None else wrong.die_after - written
            sent = stream.write(unsent[:size])
            written += sent
            unsent = unsent[sent:]


class _Tainted:
    """Puts garbage between frames."""

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._frames = 0

    def of(self, data: bytes) -> bytes:
        if self._every is None:
            return data
        out = bytearray()
        for value in data:
            out.append(value)
            self._frames += value == 0
            if value == 0 and self._frames % self._every == 0:
                out += GARBAGE
        return bytes(out)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, such as localhost:4300; port 0 takes a free one")
    return host, int(port)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _span(text: str) -> tuple[int, int]:
    """Return two times in nanoseconds."""
    begin, colon, length = text.partition(":")
    if not (colon and begin.isdecimal() and length.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no AT:FOR in milliseconds, such as 500:800")
    return int(begin) * 1_000_000, int(length) * 1_000_000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m m43drivers.bridge.process",
        description="A bridge as a process, with a simulated lens at its contacts (specs/11-bridge-link.md).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Examples:\n"
        "  python -m m43drivers.bridge.process --pty\n"
        "  python -m m43drivers.bridge.process --socket localhost:0 --profile olympus-45 --fault yanked@400\n\n"
        "Exit codes: 0 ended as --die-after says; 2 wrong usage, or it cannot start; 130 interrupted.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--pty", action="store_true", help="open a PTY and print its path")
    where.add_argument("--socket", type=_address, metavar="HOST:PORT", help="listen there and print where")
    parser.add_argument("--profile", default="olympus-14-42", metavar="NAME", help=f"which lens: {', '.join(PROFILES)}")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[@N]",
        help=f"what the lens does wrong; several times: {', '.join(FAULTS)}",
    )
    parser.add_argument(
        "--realtime", action="store_true", help="let transactions take their time, instead of none that shows"
    )
    probes = parser.add_argument_group("probes of a lens, as m43 conform makes them; they take no time on the wall")
    probes.add_argument(
        "--tick", type=_count, default=1, metavar="NS", help="unit in which it tells the times of edges (default: 1)"
    )
    probes.add_argument(
        "--no-hands",
        action="store_true",
        help="like a board: nobody turns a ring, takes the lens off, or puts a new lens on for each probe",
    )
    listening = parser.add_argument_group(
        "a body with a lens of its own, which the bridge only listens to (m43 sniff --live bridge:PORT)"
    )
    listening.add_argument(
        "--body", metavar="SCRIPT", help=f"what it does: a file, or {', '.join(script_names())}; else it cannot listen"
    )
    listening.add_argument("--dialect", choices=tuple(DIALECTS), help="how it starts and polls the lens")
    listening.add_argument("--body-timing", default="bell_body", choices=(*BODY_TIMINGS, JITTERY), help="its timing")
    listening.add_argument("--lens-timing", default="bell_lens", choices=(*LENS_TIMINGS, JITTERY), help="its lens's")
    listening.add_argument("--seed", type=int, default=0, metavar="N", help="of timings that vary (default: 0)")
    wrong = parser.add_argument_group("what the bridge does wrong, for tests")
    wrong.add_argument("--stop-reading-after", type=_count, metavar="N", help="read no more after N bytes of the host")
    wrong.add_argument("--die-after", type=_count, metavar="N", help="end after N bytes to the host")
    wrong.add_argument("--garbage-every", type=_count, metavar="N", help="send garbage behind every Nth frame")
    wrong.add_argument("--lose-edges", type=_count, metavar="N", help="in a probe, keep only N edges an instruction")
    wrong.add_argument(
        "--deaf", type=_span, metavar="AT:FOR", help="when it listens, take nothing from AT ms on for so many ms"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; return its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        firmware()
        contacts = _contacts(asked)
        stream = _opened(asked)
        print(stream.name, flush=True)  # noqa: T201 - what its caller waits for
        _serve(
            stream,
            contacts,
            Misbehaviour(asked.stop_reading_after, asked.die_after, asked.garbage_every),
            realtime=asked.realtime,
        )
    except (M43Error, OSError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CANNOT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_ENDED


def _contacts(asked: argparse.Namespace) -> SimulatedContacts:
    profile, faults = profile_named(asked.profile), faults_named(asked.fault)
    lens = SimulatedLens(profile, faults)

    def stand() -> Stand:
        glass = lens if asked.no_hands else SimulatedLens(profile, faults)
        hands = 0 if asked.no_hands else Stand.hands_for(glass)
        return Stand(glass, _pins, hands=hands, tick_ns=asked.tick, keeps=asked.lose_edges)

    one = stand()
    ears = None if asked.body is None else _ears(asked, load_script(asked.body))
    return SimulatedContacts(_pins(lens), (lambda: one) if asked.no_hands else stand, ears)


def _ears(asked: argparse.Namespace, script: BodyScript) -> Callable[[], SimulatedEars]:
    """Return what begins to listen to a pair that begins then."""
    script.check(PUBLIC, has_lens=True)
    plan = SessionPlan(
        profile=profile_named(asked.profile),
        script=script,
        dialect=script.dialect_for(asked.dialect),
        faults=faults_named(asked.fault),
        catalogue=PUBLIC,
        body_timing=asked.body_timing,
        lens_timing=asked.lens_timing,
        seed=asked.seed,
    )
    return lambda: SimulatedEars(paired(plan), realtime=asked.realtime, deaf=asked.deaf)


def _pins(lens: SimulatedLens) -> PinLens:
    return pin_lens(lens, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of)


def _opened(asked: argparse.Namespace) -> _Pty | _Socket:
    if not asked.pty:
        return _Socket(*asked.socket)
    if not hasattr(os, "openpty"):
        raise M43Error("there are no PTYs on this system; use --socket localhost:0")
    return _Pty()


if __name__ == "__main__":
    sys.exit(main())
