"""``sigrok:DRIVER[,KEY=VALUE...]``: whatever sigrok-cli drives, as a live source.

sigrok-cli streams packed samples on its standard output, without rate or channels; those are asked for and given
beforehand. Any byte on its standard input, and its end too, means "stop": so a pipe stays open, and one byte stops it.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import subprocess
import time
from fractions import Fraction
from typing import TYPE_CHECKING

from m43drivers.analyser.changes import PackedChanges
from m43drivers.analyser.live import Reader
from m43drivers.analyser.model import AnalyserError, Notice, NoticeKind
from m43drivers.analyser.options import channels_of, known_options
from m43drivers.capture.common import one_line
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from m43drivers.capture.times import period_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43drivers.analyser.model import Piece, Settings

__all__ = ["SigrokReader", "logic_channels", "sigrok"]

PROGRAM = "sigrok-cli"
DEFAULT_HZ = Fraction(8_000_000)
ASKING_S = 30.0
WAIT_S = 0.1
STOP_S = 0.8
ONCE = 1 << 18
MOST = 64
MOST_WORDS = 2000

_ADDRESS = re.compile(r"[A-Za-z0-9][\w.-]*(,[^,:=]+=[^,]+)*")
_DEVICE = re.compile(r" with \d+ channels?: (.+)$", re.MULTILINE)


def sigrok(address: str, settings: Settings, *, program: str = PROGRAM) -> SigrokReader:
    """Return the reader of a device that sigrok-cli has found.

    Raises:
        AnalyserError: sigrok-cli is not here, or finds no such device; the text holds what it says.
    """
    source = f"sigrok:{address}"
    known_options(source, settings, ())
    if not _ADDRESS.fullmatch(address):
        raise AnalyserError(
            f"{source}: expected sigrok:DRIVER[,KEY=VALUE...] such as sigrok:demo; sigrok-cli -L lists them"
        )
    if os.name != "posix":
        raise AnalyserError(f"{source}: sigrok-cli can be read on Linux and macOS only, so far")
    path = shutil.which(program)
    if path is None:
        raise AnalyserError(f"{source}: sigrok-cli is not on this machine; on Debian: apt install sigrok-cli")
    device = address.replace(",", ":")
    names = _channels(path, source, device)
    count = channels_of(source, settings, len(names), min(len(names), MOST))
    rate_hz = settings.rate_hz or DEFAULT_HZ
    if rate_hz.denominator != 1:
        raise AnalyserError(f"{source}: expected a rate in whole hertz, found {float(rate_hz):g} Hz")
    return SigrokReader(path, source, device, rate_hz, names[:count])


def logic_channels(shown: str) -> list[str]:
    """Return the names of the logic channels in what ``sigrok-cli --show`` says of a device.

    Channels of groups called Logic or Analog are told apart by that; devices without groups have logic channels only.
    """
    groups = {line.strip().partition(":")[0]: line.partition("channels ")[2].split() for line in shown.splitlines()}
    if groups.get("Logic"):
        return groups["Logic"]
    match = _DEVICE.search(shown)
    analog = set(groups.get("Analog", ()))
    return [name for name in match[1].split() if name not in analog] if match else []


def _channels(program: str, source: str, device: str) -> list[str]:
    try:
        asked = subprocess.run(
            [program, "-d", device, "--show"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=ASKING_S,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise AnalyserError(f"{source}: sigrok-cli does not answer within {ASKING_S:g} s") from None
    names = logic_channels(asked.stdout)
    if asked.returncode or not names:
        said = one_line(asked.stderr, 200) or "it shows no logic channels"
        raise AnalyserError(f"{source}: sigrok-cli cannot use this device: {said}")
    return names


class SigrokReader(Reader):
    """Reads what sigrok-cli streams.

    Args:
        program: where sigrok-cli is.
        source: what the user calls the device.
        device: what sigrok-cli calls it.
        rate_hz: samples per second.
        names: of the channels, in the device's order.
    """

    def __init__(self, program: str, source: str, device: str, rate_hz: Fraction, names: Sequence[str]) -> None:
        self.labels = tuple(Label(name, (str(bit),)) for bit, name in enumerate(names))
        self.tick_ns = period_ns(rate_hz)
        self.sample_rate_hz = float(rate_hz)
        self.provenance = Provenance(source, "sigrok-cli", {"device": device})
        self._command = [
            program,
            *("-d", device, "--config", f"samplerate={int(rate_hz)}"),
            *("-C", ",".join(names), "--continuous", "-O", "binary"),
        ]
        self._source = source
        self._changes = PackedChanges((len(names) + 7) // 8, len(names))
        self._process: subprocess.Popen[bytes] | None = None
        self._selector = selectors.DefaultSelector()
        self._said = b""

    def start(self) -> None:
        """Start sigrok-cli."""
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
            )
        except OSError as error:
            raise AnalyserError(f"{self._source}: sigrok-cli cannot be started ({error.strerror})") from None
        for stream, take in ((self._process.stdout, self._take_samples), (self._process.stderr, self._take_words)):
            if stream is not None:
                self._selector.register(stream, selectors.EVENT_READ, take)

    def read(self) -> list[Piece | Notice]:
        """Return what came."""
        items = self._next()
        if not self.ended:
            return items
        return [*items, Notice(NoticeKind.LOST, self._changes.finder.position, None, True, self._why_ended())]

    def finish(self) -> list[Piece | Notice]:
        """Press a key, and take what comes until it ends."""
        items: list[Piece | Notice] = []
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(b"\n")
        end = time.monotonic() + STOP_S
        while time.monotonic() < end and not self.ended:
            items += self._next()
        return items

    def close(self) -> None:
        """End sigrok-cli."""
        process, self._process = self._process, None
        self._selector.close()
        if process is not None:
            _ended(process)

    def _next(self) -> list[Piece | Notice]:
        taken = [key.data(key.fd) for key, _ in self._selector.select(WAIT_S)]
        return [piece for piece in taken if piece is not None]

    def _take_samples(self, descriptor: int) -> Piece | None:
        data = os.read(descriptor, ONCE)
        self.ended = not data
        return self._changes.feed(data)

    def _take_words(self, descriptor: int) -> None:
        words = os.read(descriptor, ONCE)
        self._said = (self._said + words)[-MOST_WORDS:]
        if not words:
            self._selector.unregister(descriptor)

    def _why_ended(self) -> str:
        """Say why sigrok-cli ended by itself, in its own words."""
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(STOP_S)
        self._next()
        said = one_line(self._said.decode("utf-8", "replace"), 200)
        return f"sigrok-cli ended by itself ({said or f'exit code {code}'})"


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Have a process end, by force where asking does not help, and let go of its pipes."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    for act in (process.terminate, process.kill):
        try:
            process.wait(STOP_S / 2)
        except subprocess.TimeoutExpired:
            act()
    process.wait()
