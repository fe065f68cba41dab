"""fx2lafw, the open firmware of FX2 analysers: its devices, its requests, its rates. Pure: no USB here.

Sources: sigrok-firmware-fx2lafw (as of 0f2d324) ``fx2lafw.c``, ``gpif-acquisition.c``, ``command.h``; libsigrok
``src/hardware/fx2lafw/`` and ``src/ezusb.c``; the FX2's own request A0 from its technical reference manual, §3.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from m43drivers.analyser.model import AnalyserError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ENDPOINT",
    "GET_CHIP",
    "GET_VERSION",
    "IN_FLIGHT",
    "MAJOR",
    "MANUFACTURER",
    "MODELS",
    "PRODUCT",
    "REQUEST_IN",
    "REQUEST_OUT",
    "START",
    "Model",
    "Request",
    "load_requests",
    "start_request",
    "transfer_bytes",
    "udev_rule",
]


@dataclass(frozen=True, slots=True)
class Model:
    """One kind of analyser.

    Attributes:
        name: what it is sold as.
        firmware: the file that makes it an analyser.
        channels: how many it has.
    """

    name: str
    firmware: str
    channels: int


MODELS: dict[tuple[int, int], Model] = {
    (0x0925, 0x3881): Model("Saleae Logic, or a clone of it", "fx2lafw-saleae-logic.fw", 8),
    (0x1D50, 0x608C): Model("sigrok FX2, 8 channels", "fx2lafw-sigrok-fx2-8ch.fw", 8),
    (0x1D50, 0x608D): Model("sigrok FX2, 16 channels", "fx2lafw-sigrok-fx2-16ch.fw", 16),
    (0x1D50, 0x608F): Model("sigrok usb-c-grok", "fx2lafw-usb-c-grok.fw", 8),
    (0x04B4, 0x8613): Model("bare Cypress FX2", "fx2lafw-cypress-fx2.fw", 16),
    (0x08A9, 0x0014): Model("CWAV USBee AX", "fx2lafw-cwav-usbeeax.fw", 8),
    (0x08A9, 0x0015): Model("CWAV USBee DX", "fx2lafw-cwav-usbeedx.fw", 16),
    (0x08A9, 0x0009): Model("CWAV USBee SX", "fx2lafw-cwav-usbeesx.fw", 8),
    (0x08A9, 0x0005): Model("CWAV USBee ZX", "fx2lafw-cwav-usbeezx.fw", 8),
    (0x16D0, 0x0498): Model("braintechnology USB-LPS", "fx2lafw-braintechnology-usb-lps.fw", 16),
}
"""What can be an analyser, by USB vendor and product."""

MANUFACTURER, PRODUCT = "sigrok", "fx2lafw"
"""What a device says of itself once the firmware runs."""

MAJOR = 1
"""The major version of the firmware that this speaks with."""

REQUEST_IN, REQUEST_OUT = 0xC0, 0x40
"""Request types: vendor, device, to the host and from it."""

GET_VERSION, START, GET_CHIP, LOAD = 0xB0, 0xB1, 0xB2, 0xA0

ENDPOINT = 0x82
"""The bulk endpoint that samples come from."""

IN_FLIGHT = 32
"""Transfers that wait for samples at a time."""

CPU_CONTROL = 0xE600
PIECE = 4096

CLOCKS = ((48_000_000, 0x40), (30_000_000, 0x00))
WIDE = 0x20
LONGEST_DELAY = 6 * 256
FASTEST_HZ = {1: 24_000_000, 2: 12_000_000}
SLOWEST_HZ = 20_000

PACKET = 512
PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class Request:
    """A control request with data for the device.

    Attributes:
        number: bRequest.
        value: wValue.
        data: what goes with it.
    """

    number: int
    value: int
    data: bytes


def load_requests(image: bytes) -> Iterator[Request]:
    """Yield what puts firmware into an FX2: hold its processor, write its memory, let go."""
    yield Request(LOAD, CPU_CONTROL, b"\x01")
    for at in range(0, len(image), PIECE):
        yield Request(LOAD, at, image[at : at + PIECE])
    yield Request(LOAD, CPU_CONTROL, b"\x00")


def start_request(rate_hz: Fraction, unit: int) -> Request:
    """Return what starts a recording.

    Args:
        rate_hz: samples per second.
        unit: bytes per sample, 1 or 2.

    Raises:
        AnalyserError: the clocks of the FX2 do not give that rate; the text names rates that they give.
    """
    wide = WIDE if unit == 2 else 0
    for clock, flag in CLOCKS:
        delay = Fraction(clock) / rate_hz - 1
        if SLOWEST_HZ <= rate_hz <= FASTEST_HZ[unit] and delay.denominator == 1 and 0 < delay <= LONGEST_DELAY:
            return Request(START, 0, bytes([flag | wide, *int(delay).to_bytes(2, "big")]))
    raise AnalyserError(
        f"fx2lafw: {float(rate_hz):g} Hz is no rate of it with {8 * unit} channels; take"
        f" {', '.join(f'{rate / 1e6:g} MHz' for rate in RATES_HZ if rate <= FASTEST_HZ[unit])}, or another divisor of"
        " 48 or 30 MHz"
    )


RATES_HZ = (24_000_000, 16_000_000, 12_000_000, 8_000_000, 6_000_000, 4_000_000, 1_000_000)
"""Rates that suit the mount, fastest first."""


def transfer_bytes(rate_hz: Fraction, unit: int) -> int:
    """Return the size of one transfer: what comes in 10 ms, in whole packets."""
    return max(1, -(-(int(rate_hz) * unit // PER_SECOND) // PACKET)) * PACKET


def udev_rule(usb_id: tuple[int, int]) -> str:
    """Return the line of a udev rules file that gives whoever sits at the machine access to such a device."""
    vendor, product = usb_id
    return (
        f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor:04x}", ATTR{{idProduct}}=="{product:04x}",'
        ' MODE="0660", TAG+="uaccess"'
    )
