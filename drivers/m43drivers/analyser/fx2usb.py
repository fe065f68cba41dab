"""FX2 analysers on USB: which are plugged in, and the firmware that makes analysers of them.

The firmware is the work of others (GPL) and not part of this project: it is taken from where Debian's package
``sigrok-firmware-fx2lafw`` or an installation of sigrok has put it.

Strings are read from the Linux kernel where it has them: that needs no permission, and sends nothing to a device that
may be somebody else's.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m43drivers.analyser.fx2 import (
    MANUFACTURER,
    MODELS,
    PRODUCT,
    REQUEST_OUT,
    Model,
    load_requests,
    udev_rule,
)
from m43drivers.analyser.model import AccessError, AnalyserError, FirmwareError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Found", "explained", "find_analysers", "firmware_file", "firmware_folders", "ready", "usable"]

ENUMERATION_S = 3.0
"""How long a device may take to come back with its firmware."""

PAUSE_S = 0.1
CONTROL_MS = 1000
LARGEST_IMAGE = 16_384
DEVICE_DESCRIPTOR_BYTES = 18
_REFUSED = (errno.EACCES, errno.EPERM)
KERNEL_DEVICES = Path("/sys/bus/usb/devices")
DEVICE_NODES = "/dev/bus/usb/{bus:03d}/{address:03d}"


@dataclass(frozen=True, slots=True)
class Found:
    """An analyser, or what becomes one with firmware.

    Attributes:
        model: what it is.
        usb_id: vendor and product.
        bus: number of its bus.
        address: its number on that bus.
        place: where it is plugged in, which outlives a change of address: bus and ports.
        serial: its serial number, or an empty string.
        loaded: whether the firmware runs.
        allowed: whether this user may open it; None where that cannot be told.
    """

    model: Model
    usb_id: tuple[int, int]
    bus: int
    address: int
    place: tuple[int, ...]
    serial: str
    loaded: bool
    allowed: bool | None


def find_analysers(backend: Any = None) -> list[Found]:
    """Return the FX2 analysers that are plugged in, in the order of their places.

    Raises:
        AnalyserError: libusb is missing or refuses.
    """
    import usb.core

    try:
        devices = list(usb.core.find(find_all=True, backend=backend))
    except usb.core.NoBackendError:
        raise AnalyserError("fx2lafw: libusb is not on this machine; on Debian: apt install libusb-1.0-0") from None
    except usb.core.USBError as error:
        raise AnalyserError(f"fx2lafw: libusb refuses ({_reason(error)})") from None
    known = [device for device in devices if (device.idVendor, device.idProduct) in MODELS]
    return sorted((_found(device) for device in known), key=lambda one: one.place)


def usable(serial: str, backend: Any = None) -> Found:
    """Return the analyser of a serial number, or the first one without a number.

    Raises:
        AnalyserError: there is none.
    """
    there = find_analysers(backend)
    for found in there:
        if not serial or serial == found.serial:
            return found
    if not there:
        raise AnalyserError("fx2lafw: no FX2 analyser is plugged in; m43 analysers lists what is")
    serials = ", ".join(one.serial or "one without a number" for one in there)
    raise AnalyserError(f"fx2lafw:{serial}: no analyser has this serial number; there: {serials}")


def ready(
    found: Found,
    *,
    backend: Any = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    folders: Iterable[Path] | None = None,
) -> Found:
    """Return an analyser with its firmware running: this one, or the one that it becomes.

    Args:
        found: the analyser.
        backend: of pyusb; the system's libusb unless given.
        clock: seconds.
        sleep: waits.
        folders: where to look for firmware, the usual places unless given.

    Raises:
        FirmwareError: the file is nowhere, or the device does not come back with it.
        AccessError: the user may not open the device.
        AnalyserError: USB failed.
    """
    if found.loaded:
        return found
    image = _image(firmware_file(found.model, folders))
    _upload(found, image, backend)
    end = clock() + ENUMERATION_S
    while clock() < end:
        sleep(PAUSE_S)
        back = [one for one in find_analysers(backend) if one.loaded and one.place == found.place]
        if back:
            return back[0]
    raise FirmwareError(
        f"fx2lafw: the {found.model.name} did not come back within {ENUMERATION_S:g} s of taking"
        f" {found.model.firmware}; plug it out and in again"
    )


def firmware_folders() -> list[Path]:
    """Return where sigrok's programs and packages put firmware, on this system."""
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(os.pathsep)
    programs = [os.environ[name] for name in ("PROGRAMFILES", "PROGRAMFILES(X86)") if name in os.environ]
    bases = [home, *shared, "/opt/homebrew/share", "/opt/local/share"]
    bases += [f"{folder}/sigrok/{program}/share" for folder in programs for program in ("sigrok-cli", "PulseView")]
    if sys.platform == "darwin":
        bases.append("/Applications/PulseView.app/Contents/share")
    named = [os.environ["SIGROK_FIRMWARE_DIR"]] if "SIGROK_FIRMWARE_DIR" in os.environ else []
    return list(dict.fromkeys([*map(Path, named), *(Path(base) / "sigrok-firmware" for base in bases)]))


def firmware_file(model: Model, folders: Iterable[Path] | None = None) -> Path:
    """Return the file with the firmware of a model.

    Raises:
        FirmwareError: it is in none of the folders.
    """
    for folder in firmware_folders() if folders is None else folders:
        path = folder / model.firmware
        if path.is_file():
            return path
    raise FirmwareError(
        f"fx2lafw: the {model.name} needs the firmware {model.firmware}, which is not on this machine; on Debian:"
        " apt install sigrok-firmware-fx2lafw; elsewhere: https://sigrok.org/wiki/Fx2lafw, into"
        " ~/.local/share/sigrok-firmware"
    )


def explained(error: Exception, usb_id: tuple[int, int]) -> AnalyserError:
    """Return an error of libusb as one of this room, by its number."""
    if getattr(error, "errno", None) in _REFUSED:
        return AccessError(f"fx2lafw: you may not open the analyser; {_remedy(usb_id)}")
    if getattr(error, "errno", None) == errno.EBUSY:
        return AnalyserError("fx2lafw: another program uses the analyser; close that first")
    return AnalyserError(f"fx2lafw: the analyser fails on USB ({_reason(error)}); plug it out and in again")


def _remedy(usb_id: tuple[int, int]) -> str:
    """Say what gives a user access; the number of the file is below that of udev's own rule for ``uaccess``, 70."""
    if not sys.platform.startswith("linux"):
        return "another program or a driver of the system may hold it"
    return f"put into /etc/udev/rules.d/60-m43-analyser.rules: {udev_rule(usb_id)} and plug it out and in again"


def _image(path: Path) -> bytes:
    try:
        image = path.read_bytes()
    except OSError as error:
        raise FirmwareError(f"{path}: cannot be read ({error.strerror})") from None
    if not 0 < len(image) <= LARGEST_IMAGE:
        raise FirmwareError(f"{path}: {len(image)} bytes are no firmware for an FX2; install it again")
    return image


def _upload(found: Found, image: bytes, backend: Any) -> None:
    import usb.core
    import usb.util

    device = usb.core.find(
        backend=backend, custom_match=lambda one: (one.bus, one.address) == (found.bus, found.address)
    )
    if device is None:
        raise AnalyserError("fx2lafw: the analyser was unplugged")
    try:
        for request in load_requests(image):
            device.ctrl_transfer(REQUEST_OUT, request.number, request.value, 0, request.data, CONTROL_MS)
    except usb.core.USBError as error:
        raise explained(error, found.usb_id) from None
    finally:
        usb.util.dispose_resources(device)


def _found(device: Any) -> Found:
    usb_id = (device.idVendor, device.idProduct)
    told = _strings(device)
    return Found(
        model=MODELS[usb_id],
        usb_id=usb_id,
        bus=device.bus,
        address=device.address,
        place=(device.bus, *(device.port_numbers or ())),
        serial=told["serial"],
        loaded=(told["manufacturer"], told["product"]) == (MANUFACTURER, PRODUCT),
        allowed=_allowed(device),
    )


def _allowed(device: Any) -> bool | None:
    node = DEVICE_NODES.format(bus=device.bus or 0, address=device.address or 0)
    return os.access(node, os.R_OK | os.W_OK) if os.path.exists(node) else _opens(device)


def _opens(device: Any) -> bool | None:
    """Tell whether a device answers a request that each must answer, where no file tells whether one may ask."""
    import usb.control
    import usb.core
    import usb.util

    try:
        usb.control.get_descriptor(device, DEVICE_DESCRIPTOR_BYTES, usb.util.DESC_TYPE_DEVICE, 0)
    except usb.core.USBError as error:
        return False if error.errno in _REFUSED else None
    finally:
        usb.util.dispose_resources(device)
    return True


def _strings(device: Any) -> dict[str, str]:
    folder = _kernel_folder(device)
    ask = _asked if folder is None else lambda _, name: _line(folder / name)
    return {name: ask(device, name) for name in ("manufacturer", "product", "serial")}


def _kernel_folder(device: Any) -> Path | None:
    wanted = (str(device.bus), str(device.address))
    if not KERNEL_DEVICES.is_dir():
        return None
    folders = (entry for entry in KERNEL_DEVICES.iterdir() if ":" not in entry.name)
    return next((one for one in folders if (_line(one / "busnum"), _line(one / "devnum")) == wanted), None)


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _asked(device: Any, name: str) -> str:
    import usb.core

    try:
        return str(getattr(device, {"serial": "serial_number"}.get(name, name)) or "")
    except (usb.core.USBError, ValueError, NotImplementedError):
        return ""


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0].strip()
