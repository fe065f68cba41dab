"""Serial ports, and which of them may lead to a bridge.

A USB id tells what a board runs, at best, not what program; only saying hello tells (`greet`). Ids are those of
https://github.com/raspberrypi/usb-pid (as of 00f06e9).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from m43drivers.transport import TransportError
from m43drivers.transports import open_transport
from m43proto.records import record

if TYPE_CHECKING:
    from m43drivers.transport import Abilities

__all__ = ["BOARDS", "BOOT_LOADERS", "BootLoader", "Port", "boot_loaders", "greet", "list_ports"]

BOARDS: dict[tuple[int, int], str] = {
    (0x2E8A, 0x0005): "MicroPython on an RP2040 or RP2350",
}
"""What runs on boards of these USB ids (vendor, product), and may be a bridge's firmware."""

BOOT_LOADERS: dict[tuple[int, int], str] = {
    (0x2E8A, 0x0003): "RP2040",
    (0x2E8A, 0x000F): "RP2350",
}
"""Boards of these USB ids are in their boot loader, and have no serial port."""

_WORDS = ("micropython", "m43")


@record(frozen=True, slots=True)
class Port:
    """One serial port.

    Attributes:
        device: its path or name.
        description: what the operating system says of it.
        usb_id: vendor and product, or None for a port that is not on USB.
        serial_number: of the USB device, or an empty string.
        perhaps: why it may be a bridge, or an empty string.
    """

    device: str
    description: str
    usb_id: tuple[int, int] | None = None
    serial_number: str = ""
    perhaps: str = ""

    @property
    def url(self) -> str:
        """What leads to a bridge at this port."""
        return f"serial:{self.device}"


@record(frozen=True, slots=True)
class BootLoader:
    """A board that waits for its firmware.

    Attributes:
        chip: which one.
        usb_id: vendor and product.
    """

    chip: str
    usb_id: tuple[int, int]


def list_ports() -> list[Port]:
    """Return the serial ports of this machine, in their order."""
    from serial.tools.list_ports import comports

    ports = []
    for found in sorted(comports()):
        words = [str(text) for text in (found.manufacturer, found.product, found.description) if text]
        usb_id = None if found.vid is None or found.pid is None else (found.vid, found.pid)
        perhaps = BOARDS.get(usb_id, "") if usb_id else ""
        named = next((word for text in words for word in _WORDS if word in text.lower()), "")
        ports.append(
            Port(
                device=found.device,
                description="" if found.description == "n/a" else found.description,
                usb_id=usb_id,
                serial_number=found.serial_number or "",
                perhaps=perhaps or (f"it names {named}" if named else ""),
            )
        )
    return ports


def boot_loaders() -> list[BootLoader] | None:
    """Return the boards that are in their boot loader, or None when nobody can tell: libusb is missing or refuses."""
    import usb.core

    try:
        devices = list(usb.core.find(find_all=True))
    except (usb.core.NoBackendError, usb.core.USBError):
        return None
    ids = [(device.idVendor, device.idProduct) for device in devices]
    return [BootLoader(BOOT_LOADERS[usb_id], usb_id) for usb_id in ids if usb_id in BOOT_LOADERS]


async def greet(ports: list[Port]) -> list[Abilities | TransportError]:
    """Open all of these ports at once, and say hello; return who is there, or why nobody is, port by port.

    This sends some bytes to whatever is at the ports, a bridge or not.
    """
    return list(await asyncio.gather(*map(_greeted, ports)))


async def _greeted(port: Port) -> Abilities | TransportError:
    transport = open_transport(port.url)
    try:
        return await transport.open()
    except TransportError as error:
        return error
    finally:
        await transport.close()
