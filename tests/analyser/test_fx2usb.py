"""Finding FX2 analysers and loading their firmware, over a USB backend that is all pretence."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import usb.backend
import usb.core

from m43drivers.analyser.fx2 import MODELS, load_requests, start_request, transfer_bytes
from m43drivers.analyser.fx2usb import (
    ENUMERATION_S,
    explained,
    find_analysers,
    firmware_file,
    firmware_folders,
    ready,
    usable,
)
from m43drivers.analyser.model import AccessError, AnalyserError, FirmwareError

LOGIC = (0x0925, 0x3881)
BUS = 250
"""A bus that the kernel of this machine does not have, so that strings are asked of the device."""


class Device:
    """What is plugged in: an FX2 that forgets its firmware when it loses power."""

    def __init__(self, usb_id: tuple[int, int] = LOGIC, *, ports: tuple[int, ...] = (2,), serial: str = "") -> None:
        self.usb_id = usb_id
        self.ports = ports
        self.address = 4
        self.strings = {1: "", 2: "", 3: serial}
        self.memory = bytearray(16_384)
        self.held = False
        self.log: list[tuple[int, int]] = []


class Bus(usb.backend.IBackend):  # type: ignore[misc]
    """A backend of pyusb.

    Attributes:
        comes_back: whether a device enumerates again with firmware.
        refuses: number of the error with which opening fails, or None.
    """

    def __init__(self, *devices: Device, comes_back: bool = True, refuses: int | None = None) -> None:
        self.devices = list(devices)
        self.comes_back = comes_back
        self.refuses = refuses
        self.away: list[Device] = []
        self.now_s = 0.0
        self.open_handles = 0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s
        if self.now_s > 1.5 and self.comes_back:
            self.devices += self.away
            self.away = []

    def enumerate_devices(self) -> list[Device]:
        return list(self.devices)

    def get_device_descriptor(self, device: Device) -> SimpleNamespace:
        vendor, product = device.usb_id
        return SimpleNamespace(
            bLength=18,
            bDescriptorType=1,
            bcdUSB=0x200,
            bDeviceClass=255,
            bDeviceSubClass=255,
            bDeviceProtocol=255,
            bMaxPacketSize0=64,
            idVendor=vendor,
            idProduct=product,
            bcdDevice=1,
            iManufacturer=1,
            iProduct=2,
            iSerialNumber=3,
            bNumConfigurations=1,
            address=device.address,
            bus=BUS,
            port_number=device.ports[-1],
            port_numbers=device.ports,
            speed=3,
        )

    def open_device(self, device: Device) -> Device:
        if self.refuses is not None:
            raise usb.core.USBError("refused", -3, self.refuses)
        self.open_handles += 1
        return device

    def close_device(self, handle: Device) -> None:
        self.open_handles -= 1

    def ctrl_transfer(
        self, handle: Device, request_type: int, request: int, value: int, index: int, data: Any, timeout: int
    ) -> int:
        if (request_type, request) == (0x80, 6):
            return self._string(handle, value & 0xFF, data)
        assert (request_type, request) == (0x40, 0xA0)
        handle.log.append((value, len(data)))
        if value == 0xE600:
            self._hold(handle, bool(data[0]))
        else:
            assert handle.held, "memory is written while the processor runs"
            handle.memory[value : value + len(data)] = bytes(data)
        return len(data)

    def _string(self, device: Device, index: int, data: Any) -> int:
        text = "\u0409" if not index else device.strings[index]
        words = text.encode("utf-16-le")
        answer = bytes([len(words) + 2, 3]) + words
        data[: len(answer)] = type(data)("B", answer)
        return len(answer)

    def _hold(self, device: Device, held: bool) -> None:
        if device.held and not held:
            device.address += 1
            device.strings |= {1: "sigrok", 2: "fx2lafw"}
            self.devices.remove(device)
            self.away.append(device)
        device.held = held


IMAGE = bytes(range(256)) * 31 + b"end of the image"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / MODELS[LOGIC].firmware).write_bytes(IMAGE)
    return tmp_path


def test_firmware_is_loaded_and_the_device_awaited(folder: Path) -> None:
    device = Device(serial="77")
    bus = Bus(device, Device((0x1D6B, 2), ports=(1,)))
    (found,) = find_analysers(bus)
    assert (found.loaded, found.serial, found.place, found.address) == (False, "77", (BUS, 2), 4)
    back = ready(found, backend=bus, clock=bus.clock, sleep=bus.sleep, folders=[folder])
    assert (back.loaded, back.serial, back.place, back.address) == (True, "77", (BUS, 2), 5)
    assert bytes(device.memory[: len(IMAGE)]) == IMAGE
    assert device.log == [(0xE600, 1), (0, 4096), (4096, len(IMAGE) - 4096), (0xE600, 1)]
    assert bus.open_handles == 0
    assert ready(back, backend=bus) is back


def test_a_device_that_does_not_come_back(folder: Path) -> None:
    bus = Bus(Device(), comes_back=False)
    (found,) = find_analysers(bus)
    with pytest.raises(FirmwareError, match=r"did not come back within 3 s of taking fx2lafw-saleae-logic\.fw"):
        ready(found, backend=bus, clock=bus.clock, sleep=bus.sleep, folders=[folder])
    assert ENUMERATION_S <= bus.now_s < ENUMERATION_S + 0.2


def test_another_analyser_does_not_pass_for_the_one_that_is_awaited(folder: Path) -> None:
    other = Device(ports=(3,))
    other.strings |= {1: "sigrok", 2: "fx2lafw"}
    bus = Bus(Device(), other, comes_back=False)
    found = next(one for one in find_analysers(bus) if not one.loaded)
    with pytest.raises(FirmwareError, match="did not come back"):
        ready(found, backend=bus, clock=bus.clock, sleep=bus.sleep, folders=[folder])


def test_without_permission_the_udev_rule_is_printed(folder: Path) -> None:
    bus = Bus(Device(), refuses=errno.EACCES)
    (found,) = find_analysers(bus)
    with pytest.raises(AccessError) as caught:
        ready(found, backend=bus, clock=bus.clock, sleep=bus.sleep, folders=[folder])
    rule = 'SUBSYSTEM=="usb", ATTR{idVendor}=="0925", ATTR{idProduct}=="3881", MODE="0660", TAG+="uaccess"'
    assert rule in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EBUSY, "another program uses the analyser"), (errno.EIO, "fails on USB (refused)")]
)
def test_other_failures(number: int, text: str, folder: Path) -> None:
    bus = Bus(Device(), refuses=number)
    (found,) = find_analysers(bus)
    with pytest.raises(AnalyserError) as caught:
        ready(found, backend=bus, clock=bus.clock, sleep=bus.sleep, folders=[folder])
    assert text in str(caught.value)


def test_a_device_that_is_gone_before_it_gets_its_firmware(folder: Path) -> None:
    bus = Bus(Device())
    (found,) = find_analysers(bus)
    bus.devices.clear()
    with pytest.raises(AnalyserError, match="was unplugged"):
        ready(found, backend=bus, folders=[folder])


def test_missing_firmware_says_where_to_get_it(tmp_path: Path) -> None:
    bus = Bus(Device())
    (found,) = find_analysers(bus)
    with pytest.raises(
        FirmwareError, match=r"needs the firmware fx2lafw-saleae-logic\.fw.*apt install sigrok-firmware"
    ):
        ready(found, backend=bus, folders=[tmp_path])
    assert bus.devices[0].log == []


@pytest.mark.parametrize("size", [0, 16_385])
def test_a_file_that_is_no_firmware(size: int, tmp_path: Path) -> None:
    (tmp_path / MODELS[LOGIC].firmware).write_bytes(bytes(size))
    (found,) = find_analysers(Bus(Device()))
    with pytest.raises(FirmwareError, match=f"{size} bytes are no firmware"):
        ready(found, backend=Bus(Device()), folders=[tmp_path])


def test_which_analyser() -> None:
    bus = Bus(Device(ports=(2,), serial="A"), Device(ports=(1, 3), serial="B"))
    assert [one.serial for one in find_analysers(bus)] == ["B", "A"]
    assert usable("", bus).serial == "B"
    assert usable("A", bus).serial == "A"
    with pytest.raises(AnalyserError, match="fx2lafw:C: no analyser has this serial number; there: B, A"):
        usable("C", bus)
    with pytest.raises(AnalyserError, match="no FX2 analyser is plugged in"):
        usable("", Bus())


def test_firmware_is_looked_for_where_sigrok_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named, data = tmp_path / "named", tmp_path / "data"
    monkeypatch.setenv("SIGROK_FIRMWARE_DIR", str(named))
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setenv("XDG_DATA_DIRS", "/usr/local/share:/usr/share")
    folders = firmware_folders()
    assert folders[:2] == [named, data / "sigrok-firmware"]
    assert [str(one) for one in folders[2:4]] == ["/usr/local/share/sigrok-firmware", "/usr/share/sigrok-firmware"]
    (data / "sigrok-firmware").mkdir(parents=True)
    path = data / "sigrok-firmware" / MODELS[LOGIC].firmware
    path.write_bytes(IMAGE)
    assert firmware_file(MODELS[LOGIC]) == path


DEBIAN = Path("/usr/share/sigrok-firmware")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's sigrok-firmware-fx2lafw is not installed")
def test_debian_has_the_firmware_of_every_model_but_the_newest() -> None:
    """The package is older than the usb-c-grok."""
    wanted = {model.firmware for model in MODELS.values()}
    there = {path.name for path in DEBIAN.iterdir()}
    assert wanted - there <= {"fx2lafw-usb-c-grok.fw"}
    for name in wanted & there:
        assert 0 < (DEBIAN / name).stat().st_size <= 16_384


def test_an_image_is_sent_whole_in_pieces() -> None:
    requests = list(load_requests(IMAGE))
    assert b"".join(one.data for one in requests[1:-1]) == IMAGE
    assert [one.value for one in requests] == [0xE600, 0, 4096, 0xE600]


@pytest.mark.parametrize(
    ("rate_hz", "unit", "data"),
    [
        (8_000_000, 1, "400005"),
        (24_000_000, 1, "400001"),
        (12_000_000, 2, "600003"),
        (20_000, 1, "0005db"),
        (1_000_000, 1, "40002f"),
        (15_000_000, 1, "000001"),
    ],
)
def test_start_requests(rate_hz: int, unit: int, data: str) -> None:
    request = start_request(Fraction(rate_hz), unit)
    assert (request.number, request.data.hex()) == (0xB1, data)


@pytest.mark.parametrize(("rate_hz", "unit"), [(48_000_000, 1), (24_000_000, 2), (7_000_000, 1), (10_000, 1)])
def test_rates_that_there_are_not(rate_hz: int, unit: int) -> None:
    with pytest.raises(AnalyserError, match="is no rate of it"):
        start_request(Fraction(rate_hz), unit)


def test_transfers_hold_ten_milliseconds_in_whole_packets() -> None:
    for rate_hz in (20_000, 1_000_000, 8_000_000, 24_000_000):
        size = transfer_bytes(Fraction(rate_hz), 1)
        assert size % 512 == 0
        assert rate_hz // 100 <= size < rate_hz // 100 + 512


def test_errors_stay_on_one_line() -> None:
    assert "\n" not in str(explained(OSError(errno.EIO, "first\nsecond"), LOGIC))
