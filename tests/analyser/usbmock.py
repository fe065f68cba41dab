"""A USB device for umockdev: its place in the system, and a usbmon recording that is played to whoever talks to it.

Everything here is written by the test: no recording of a real analyser.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

USB_LINUX_MMAPPED = 220
CONTROL, BULK = 2, 3
IN_PROGRESS = -115
SYSFS = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1"
BUS, ADDRESS = 1, 4

DEVICE = struct.Struct("<BBHBBBBHHHBBBB")
CONFIGURATION = struct.Struct("<BBHBBBBB")
INTERFACE = struct.Struct("<BBBBBBBBB")
ENDPOINT = struct.Struct("<BBBBHB")


def descriptors(vendor: int, product: int) -> bytes:
    """Return the descriptors of a high-speed device with one interface and one bulk endpoint to the host."""
    device = DEVICE.pack(18, 1, 0x0200, 0xFF, 0, 0, 64, vendor, product, 1, 1, 2, 0, 1)
    size = CONFIGURATION.size + INTERFACE.size + ENDPOINT.size
    configuration = CONFIGURATION.pack(9, 2, size, 1, 1, 0, 0x80, 50)
    interface = INTERFACE.pack(9, 4, 0, 0, 1, 0xFF, 0, 0, 0)
    return device + configuration + interface + ENDPOINT.pack(7, 5, 0x82, 2, 512, 0)


def device_file(
    path: Path,
    vendor: int = 0x1D50,
    product: int = 0x608C,
    *,
    manufacturer: str = "sigrok",
    name: str = "fx2lafw",
    serial: str = "",
) -> Path:
    """Write what ``umockdev-run --device`` takes."""
    attributes = {
        "busnum": str(BUS),
        "devnum": str(ADDRESS),
        "idVendor": f"{vendor:04x}",
        "idProduct": f"{product:04x}",
        "bConfigurationValue": "1",
        "bNumConfigurations": "1",
        "bNumInterfaces": "1",
        "speed": "480",
        "manufacturer": manufacturer,
        "product": name,
    } | ({"serial": serial} if serial else {})
    lines = [
        f"P: {SYSFS.removeprefix('/sys')}",
        f"N: bus/usb/{BUS:03d}/{ADDRESS:03d}",
        "E: SUBSYSTEM=usb",
        "E: DEVTYPE=usb_device",
        f"E: DEVNAME=/dev/bus/usb/{BUS:03d}/{ADDRESS:03d}",
        f"E: BUSNUM={BUS:03d}",
        f"E: DEVNUM={ADDRESS:03d}",
        *(f"A: {key}={value}\\n" for key, value in attributes.items()),
        f"H: descriptors={descriptors(vendor, product).hex().upper()}",
    ]
    path.write_text("\n".join(lines) + "\n\n", encoding="ascii")
    return path


@dataclass
class Traffic:
    """What goes over the wire, in its order."""

    records: list[bytes] = field(default_factory=list)
    _id: int = 0

    def control_in(self, request_type: int, request: int, value: int, index: int, length: int, answer: bytes) -> None:
        """A request that the device answers."""
        setup = struct.pack("<BBHHH", request_type, request, value, index, length)
        self._id += 1
        self._record("S", CONTROL, 0x80, IN_PROGRESS, length, b"", setup=setup)
        self._record("C", CONTROL, 0x80, 0, len(answer), answer)

    def control_out(self, request_type: int, request: int, value: int, index: int, data: bytes) -> None:
        """A request with data for the device."""
        setup = struct.pack("<BBHHH", request_type, request, value, index, len(data))
        self._id += 1
        # umockdev would compare these data with a buffer that begins with the setup packet; so they are left out.
        self._record("S", CONTROL, 0x00, IN_PROGRESS, len(data), b"", setup=setup)
        self._record("C", CONTROL, 0x00, 0, len(data), b"")

    def submit(self, endpoint: int, size: int) -> int:
        """A transfer that begins to wait; return its number."""
        self._id += 1
        self._record("S", BULK, endpoint, IN_PROGRESS, size, b"")
        return self._id

    def complete(self, number: int, endpoint: int, data: bytes, status: int = 0) -> None:
        """A transfer that ends."""
        self._record("C", BULK, endpoint, status, len(data), data, number=number)

    def stream(self, endpoint: int, size: int, pieces: list[bytes], in_flight: int) -> None:
        """Transfers of a size that always wait in such a number, and end with these pieces."""
        waiting = [self.submit(endpoint, size) for _ in range(in_flight)]
        for piece in pieces:
            self.complete(waiting.pop(0), endpoint, piece)
            waiting.append(self.submit(endpoint, size))
        self.waiting = waiting

    def write(self, path: Path) -> Path:
        """Write a recording as usbmon makes them."""
        header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 20, USB_LINUX_MMAPPED)
        rows = [struct.pack("<IIII", 0, 0, len(record), len(record)) + record for record in self.records]
        path.write_bytes(header + b"".join(rows))
        return path

    def _record(
        self,
        event: str,
        kind: int,
        endpoint: int,
        status: int,
        length: int,
        data: bytes,
        *,
        setup: bytes = bytes(8),
        number: int | None = None,
    ) -> None:
        has_setup = 0 if event == "S" and kind == CONTROL else ord("-")
        head = struct.pack(
            "<QBBBBHbbqiiII8siiII",
            self._id if number is None else number,
            ord(event),
            kind,
            endpoint,
            ADDRESS,
            BUS,
            has_setup,
            0 if data else ord("<"),
            0,
            0,
            status,
            length,
            len(data),
            setup,
            0,
            0,
            0,
            0,
        )
        assert len(head) == 64
        self.records.append(head + data)
