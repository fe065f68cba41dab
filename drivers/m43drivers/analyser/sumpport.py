"""``sump:PORT``: a SUMP or OLS analyser as a live source, one buffer after the other.

It records into its memory and sends that when it is full. Between two buffers it is blind; the gap is told with its
length by the clock of this machine. Options: ``?rle=0`` records without counting repeats, ``?trigger=CHANNEL:LEVEL``
has each buffer wait for a level (``?trigger=0:0``), ``?baud=N``.
"""

from __future__ import annotations

import contextlib
import re
import time
from fractions import Fraction
from typing import TYPE_CHECKING

from m43drivers.analyser.changes import ChangeFinder
from m43drivers.analyser.live import Reader
from m43drivers.analyser.model import AnalyserError, Notice, NoticeKind
from m43drivers.analyser.options import channels_of, known_options
from m43drivers.analyser.port import GoneError, Port, asking
from m43drivers.analyser.sump import IDS, Abilities, Plan, Short, abilities_of, metadata_end, plan_of, runs_of
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from m43drivers.capture.times import period_ns
from m43drivers.streams.serialport import BAUD

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.analyser.model import Piece, Settings

__all__ = ["SumpReader", "greet", "sump"]

DEFAULT_HZ = Fraction(10_000_000)
USUAL_CHANNELS = 7

RESETS = bytes(5)
ATTEMPTS = 3
ANSWER_S = 0.5
METADATA_S = 1.0
SETTLE_S = 0.5
SILENCE_S = 1.0

_TRIGGER = re.compile(r"(\d{1,2}):([01])")


def sump(address: str, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> SumpReader:
    """Return the reader of an analyser that has said who it is.

    Raises:
        AnalyserError: there is none at the port, or a setting is none of it.
    """
    source = f"sump:{address}"
    known_options(source, settings, ("rle", "trigger", "baud"))
    if not address:
        raise AnalyserError("sump: expected sump:PORT; m43 analysers lists the ports")
    port = Port(address, _number(source, settings, "baud", BAUD), clock)
    with asking(port, source, keep=True):
        abilities = _identify(port, source)
        rle = _number(source, settings, "rle", 1) != 0
        channels = channels_of(source, settings, USUAL_CHANNELS, abilities.channels)
        rate_hz = settings.rate_hz or DEFAULT_HZ
        plan = plan_of(abilities, rate_hz, channels, rle=rle, trigger=_trigger(source, settings, channels))
    return SumpReader(source, port, abilities, plan, clock)


def greet(path: str) -> Abilities:
    """Ask whatever is at a port whether it is a SUMP analyser; this sends it bytes.

    Raises:
        AnalyserError: it is none, or the port cannot be opened.
    """
    port = Port(path, BAUD)
    with asking(port, f"sump:{path}", keep=False):
        return _identify(port, f"sump:{path}")


def _number(source: str, settings: Settings, key: str, usual: int) -> int:
    text = settings.options.get(key, str(usual))
    if not re.fullmatch(r"\d{1,7}", text):
        raise AnalyserError(f"{source}: expected a number for {key}, found {text!r}")
    return int(text)


def _trigger(source: str, settings: Settings, channels: int) -> tuple[int, int] | None:
    text = settings.options.get("trigger")
    if text is None:
        return None
    match = _TRIGGER.fullmatch(text)
    if match is None or int(match[1]) >= channels:
        raise AnalyserError(f"{source}: expected ?trigger=CHANNEL:LEVEL such as 0:0, found {text!r}")
    mask = 1 << int(match[1])
    return mask, mask * int(match[2])


def _identify(port: Port, source: str) -> Abilities:
    """Reset whatever is at the port, and ask who it is; what it was still sending is thrown away."""
    answer = b""
    for _ in range(ATTEMPTS):
        port.write(RESETS)
        port.settle(SETTLE_S)
        port.write(bytes([Short.IDENTIFY]))
        answer = port.read_until(_has_id, ANSWER_S)
        if _has_id(answer):
            port.write(bytes([Short.METADATA]))
            return abilities_of(port.read_until(lambda data: metadata_end(data) is not None, METADATA_S))
    found = f"{answer[:16].hex(' ')}" if answer else "nothing"
    raise AnalyserError(f"{source}: expected a SUMP analyser (1ALS or 1SLO), found {found}; is it the right port?")


def _has_id(data: bytes) -> bool:
    return any(one in data for one in IDS)


class SumpReader(Reader):
    """Reads a SUMP analyser.

    Args:
        source: what the user calls it.
        port: where it is.
        abilities: what it said of itself.
        plan: what to record.
        clock: seconds.
    """

    def __init__(self, source: str, port: Port, abilities: Abilities, plan: Plan, clock: Callable[[], float]) -> None:
        self.labels = tuple(Label(f"D{bit}", (str(bit),)) for bit in range(plan.channels))
        self.tick_ns = period_ns(plan.rate_hz)
        self.sample_rate_hz = float(plan.rate_hz)
        self.provenance = Provenance(source, "sump", {"model": abilities.name, "fpga": abilities.fpga})
        self._port = port
        self._plan = plan
        self._clock = clock
        self._finder = ChangeFinder(plan.channels)
        self._buffer = bytearray()
        self._origin_s: float | None = None
        self._armed_s = self._first_s = self._heard_s = clock()

    def start(self) -> None:
        """Arm it for the first buffer."""
        try:
            self._arm(whole=True)
        except GoneError as error:
            raise AnalyserError(f"{self.provenance.path}: the port is gone ({error})") from None

    def read(self) -> list[Piece | Notice]:
        """Return a buffer once it is there."""
        try:
            data = self._port.read(self._plan.size - len(self._buffer))
        except GoneError as error:
            return self._lost(f"the port is gone ({error})")
        now_s = self._clock()
        if data:
            self._first_s = now_s if not self._buffer else self._first_s
            self._heard_s = now_s
            self._buffer += data
        if len(self._buffer) >= self._plan.size:
            return self._ended_buffer(cut=False)
        if self._buffer and now_s - self._heard_s > SILENCE_S:
            return self._ended_buffer(cut=True)
        if not self._buffer and self._plan.trigger is None and now_s - self._armed_s > self._plan.longest_s + SILENCE_S:
            return self._lost("it does not answer any more; plug it out and in again")
        return []

    def finish(self) -> list[Piece | Notice]:
        """Reset it; a buffer that is not there has never been."""
        with contextlib.suppress(GoneError):
            self._port.write(RESETS)
        return []

    def close(self) -> None:
        """Let go of the port."""
        self._port.close()

    def _arm(self, *, whole: bool) -> None:
        if whole:
            for command in self._plan.commands:
                self._port.write(command)
        self._buffer.clear()
        self._port.write(bytes([Short.ARM]))
        self._armed_s = self._heard_s = self._first_s = self._clock()

    def _ended_buffer(self, *, cut: bool) -> list[Piece | Notice]:
        """Turn a buffer into changes at the time at which it was recorded, and arm for the next."""
        states, counts = runs_of(bytes(self._buffer), self._plan.groups, rle=self._plan.rle)
        items: list[Piece | Notice] = []
        if cut:
            text = f"a buffer broke off: {len(self._buffer)} of {self._plan.size} bytes came"
            here = self._finder.position
            items.append(Notice(NoticeKind.DAMAGE, here, here, False, text))
        items += self._gap(int(counts.sum()))
        piece = self._finder.runs(states, counts)
        if piece is not None:
            items.append(piece)
        try:
            if cut:
                self._port.write(RESETS)
                self._port.settle(SETTLE_S)
            self._arm(whole=cut)
        except GoneError as error:
            items += self._lost(f"the port is gone ({error})")
        return items

    def _gap(self, ticks: int) -> list[Piece | Notice]:
        """Go on at the tick at which a buffer of so many began: it was full when its first byte came."""
        began_s = max(self._armed_s, self._first_s - ticks / self.sample_rate_hz)
        if self._origin_s is None:
            self._origin_s = began_s
            return []
        begin = self._finder.position
        until = max(begin, int((began_s - self._origin_s) * self.sample_rate_hz))
        self._finder.skip(until - begin)
        return [Notice(NoticeKind.GAP, begin, until, False, "the analyser sent its buffer and was armed again")]

    def _lost(self, text: str) -> list[Piece | Notice]:
        self.ended = True
        return [Notice(NoticeKind.LOST, self._finder.position, None, True, text)]
