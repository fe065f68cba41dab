"""Live sources: analysers on the desk, whose samples are decoded while they come.

The law of this room: an analyser does not wait, so nothing here blocks its reading; a sample that is not in a block is
in a notice; what decodes an analyser's own format is pure, and apart from what talks to it.
"""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module

from m43drivers.analyser.live import CAPACITY, CLOSE_S, LiveStream, Reader
from m43drivers.analyser.model import (
    AccessError,
    AnalyserError,
    FirmwareError,
    Notice,
    NoticeKind,
    Settings,
)
from m43drivers.analyser.pieces import Item

__all__ = [
    "ANALYSERS",
    "CAPACITY",
    "CLOSE_S",
    "AccessError",
    "AnalyserError",
    "FirmwareError",
    "Item",
    "LiveStream",
    "Notice",
    "NoticeKind",
    "Settings",
    "open_analyser",
]

ANALYSERS: dict[str, tuple[str, str]] = {
    "fx2lafw": ("m43drivers.analyser.fx2lafw:fx2lafw", "fx2lafw[:SERIAL], an FX2 analyser"),
    "sump": ("m43drivers.analyser.sumpport:sump", "sump:PORT, a SUMP or OLS analyser, buffer by buffer"),
    "pico": ("m43drivers.analyser.picoport:pico", "pico:PORT, a board with sigrok-pico"),
    "bridge": ("m43drivers.analyser.bridgeport:bridge", "bridge:PORT, a bridge of this project, which only listens"),
    "sigrok": ("m43drivers.analyser.sigrokcli:sigrok", "sigrok:DRIVER[,KEY=VALUE...], whatever sigrok-cli drives"),
}
"""Schemes of a source: what makes its reader, and what stands behind the colon."""


def open_analyser(
    source: str,
    *,
    rate_hz: int | Fraction | None = None,
    channels: int | None = None,
    capacity: int = CAPACITY,
) -> LiveStream:
    """Open an analyser, and begin to record; this may take seconds, so call it in a thread where an event loop runs.

    Args:
        source: ``SCHEME[:ADDRESS][?KEY=VALUE&...]``, such as ``fx2lafw`` or ``sump:/dev/ttyACM0?rle=0``.
        rate_hz: samples per second, above 0; the source's own choice unless given.
        channels: how many, from the first on; the source's own choice unless given.
        capacity: rows that wait for a slow taker at most, before blocks are thrown away and counted.

    Raises:
        AnalyserError: there is no such source, or it cannot be used; the text is one line that says what to do.
    """
    scheme, _, rest = source.partition(":")
    scheme, _, query = scheme.partition("?") if "?" in scheme else (scheme, "", "")
    address, _, behind = rest.partition("?")
    if rate_hz is not None and rate_hz <= 0:
        raise AnalyserError(f"{source}: expected a rate above 0 Hz, found {rate_hz} Hz")
    if scheme not in ANALYSERS:
        known = "; ".join(text for _, text in ANALYSERS.values())
        raise AnalyserError(f"{source}: no such source; write {known}")
    exact = None if rate_hz is None else Fraction(rate_hz)
    settings = Settings(rate_hz=exact, channels=channels, options=_options(source, query or behind))
    return LiveStream(_reader(scheme, address, settings), capacity=capacity)


def _reader(scheme: str, address: str, settings: Settings) -> Reader:
    module, _, name = ANALYSERS[scheme][0].partition(":")
    reader: Reader = getattr(import_module(module), name)(address, settings)
    return reader


def _options(source: str, query: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    wrong = next((key for key, equals, value in pairs if not (key and equals and value)), None)
    if wrong is not None:
        raise AnalyserError(f"{source}: expected ?KEY=VALUE&KEY=VALUE behind the address, found {query!r}")
    return {key: value for key, _, value in pairs}
