"""Which analysers are plugged in, what they can do, and what is missing to use them."""

from __future__ import annotations

import contextlib
import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from m43drivers.analyser import bridgeport, picoport, sumpport
from m43drivers.analyser.fx2 import FASTEST_HZ
from m43drivers.analyser.fx2usb import explained, find_analysers, firmware_file
from m43drivers.analyser.model import AnalyserError, FirmwareError
from m43drivers.ports import list_ports
from m43proto.pins import LINES

if TYPE_CHECKING:
    from m43drivers.analyser.fx2usb import Found
    from m43drivers.ports import Port

__all__ = ["Plugged", "Survey", "survey"]

PICO_BOARDS = {(0x2E8A, 0x000A), (0x2E8A, 0x0009)}
"""USB ids of programs made with the Pico SDK, for RP2040 and RP2350: sigrok-pico is one of many.

Source: https://github.com/raspberrypi/usb-pid (as of 00f06e9).
"""

MICROPYTHON_BOARDS = {(0x2E8A, 0x0005)}
"""USB ids of MicroPython on RP2040 and RP2350: a bridge is one of many. Source: the same."""

GUESSES = {
    **dict.fromkeys(PICO_BOARDS, ("pico", "made with the Pico SDK; --probe asks it")),
    **dict.fromkeys(MICROPYTHON_BOARDS, ("bridge", "runs MicroPython; --probe asks it")),
}
"""Scheme and reason, by USB id, where nobody has asked."""

OLD_FIRMWARE = "its firmware {} is too old to listen; copy the firmware that belongs to this program to it"
NO_LIBUSB1 = "the Python package libusb1 is missing, which streams without losing samples; pip install libusb1"
NO_SIGROK_CLI = "sigrok-cli is missing, with which sigrok:DRIVER works; on Debian: apt install sigrok-cli"


@dataclass(frozen=True, slots=True)
class Plugged:
    """An analyser, or what may be one.

    Attributes:
        source: what opens it.
        name: what it is.
        channels: how many it has, or None where it has not been asked.
        fastest_hz: its highest rate, or None where it has not been asked.
        missing: what keeps it from being used and what to do, or an empty string.
        perhaps: why it may be an analyser, where nobody has asked it; else an empty string.
    """

    source: str
    name: str
    channels: int | None = None
    fastest_hz: int | None = None
    missing: str = ""
    perhaps: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be opened now, as far as is known."""
        return not self.missing and not self.perhaps


@dataclass(frozen=True, slots=True)
class Survey:
    """What is on this machine.

    Attributes:
        plugged: analysers.
        sigrok_cli: where sigrok-cli is, or None.
        missing: what is not there, each with what to do.
    """

    plugged: tuple[Plugged, ...]
    sigrok_cli: str | None
    missing: tuple[str, ...]


def survey(*, probe: bool = False) -> Survey:
    """Look what is plugged in.

    Args:
        probe: ask at each serial port whether an analyser is there; this sends bytes to whatever is.
    """
    missing = []
    try:
        analysers = tuple(map(_fx2, find_analysers()))
    except AnalyserError as error:
        analysers = ()
        missing.append(f"FX2 analysers cannot be looked for: {_bare(error)}")
    program = shutil.which("sigrok-cli")
    if program is None:
        missing.append(NO_SIGROK_CLI)
    with ThreadPoolExecutor() as threads:
        ports = list(threads.map(_asked if probe else _guessed, list_ports()))
    return Survey((*analysers, *(one for one in ports if one is not None)), program, tuple(missing))


def _fx2(found: Found) -> Plugged:
    return Plugged(
        source=f"fx2lafw:{found.serial}" if found.serial else "fx2lafw",
        name=found.model.name,
        channels=found.model.channels,
        fastest_hz=FASTEST_HZ[1],
        missing=_fx2_missing(found),
    )


def _fx2_missing(found: Found) -> str:
    if found.allowed is False:
        return _bare(explained(OSError(errno.EACCES, ""), found.usb_id))
    if find_spec("usb1") is None:
        return NO_LIBUSB1
    try:
        if not found.loaded:
            firmware_file(found.model)
    except FirmwareError as error:
        return _bare(error)
    return ""


def _guessed(port: Port) -> Plugged | None:
    guess = None if port.usb_id is None else GUESSES.get(port.usb_id)
    if guess is None:
        return None
    scheme, why = guess
    return Plugged(f"{scheme}:{port.device}", port.description, perhaps=why)


def _asked(port: Port) -> Plugged | None:
    """Ask a port all questions: sigrok-pico and SUMP ignore each other's; that for a bridge may arm a SUMP."""
    for ask in (_pico, _sump, _bridge):
        with contextlib.suppress(AnalyserError):
            return ask(port.device)
    return _guessed(port)


def _pico(path: str) -> Plugged:
    board = picoport.greet(path)
    name = f"sigrok-pico, version {board.version}"
    return Plugged(f"pico:{path}", name, board.channels, picoport.FASTEST_HZ)


def _sump(path: str) -> Plugged:
    told = sumpport.greet(path)
    return Plugged(f"sump:{path}", told.name, told.channels, told.fastest_hz)


def _bridge(path: str) -> Plugged:
    told = bridgeport.greet(path)
    missing = "" if bridgeport.can_listen(told.firmware) else OLD_FIRMWARE.format(told.firmware)
    return Plugged(f"bridge:{path}", f"{told.name}, firmware {told.firmware}", len(LINES), missing=missing)


def _bare(error: AnalyserError) -> str:
    return str(error).removeprefix("fx2lafw: ")
