"""``m43 analysers`` as its user runs it, with and without anything plugged in."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import usb.backend.libusb1
import usb.core
from serial.tools import list_ports

from m43drivers.analyser import fx2usb, survey
from m43drivers.analyser.fx2 import MODELS
from m43drivers.bridge.protocol import Hello, HelloAnswer
from tests.analyser.models import Answering, Pico, Plugged, Sump
from tests.analyser.test_fx2usb import BUS, IMAGE, LOGIC, Bus, Device
from tests.analyser.usbmock import SYSFS, Traffic, device_file
from tests.bridge.test_process import bridge
from tests.test_cli import run
from tests.test_ports import port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO_LIBUSB = usb.core.NoBackendError("No backend available")


def fx2(**known: Any) -> SimpleNamespace:
    usual = {"bus": BUS, "address": 9, "port_numbers": (1,), "manufacturer": "sigrok", "product": "fx2lafw"}
    usual |= {"ctrl_transfer": lambda **_: bytes(18), "_ctx": SimpleNamespace(dispose=lambda device: None)}
    return SimpleNamespace(**{"idVendor": 0x1D50, "idProduct": 0x608C, "serial_number": "", **usual, **known})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return what makes a machine of these ports, USB devices and programs, without firmware."""

    def make(*ports: Any, devices: Any = (), sigrok_cli: str | None = "/usr/bin/sigrok-cli", usb1: bool = True) -> None:
        def find(**asked: Any) -> list[Any]:
            if isinstance(devices, Exception):
                raise devices
            return list(devices)

        monkeypatch.setattr(list_ports, "comports", lambda: list(ports))
        monkeypatch.setattr(usb.core, "find", find)
        monkeypatch.setattr(shutil, "which", lambda name: sigrok_cli)
        monkeypatch.setattr(survey, "find_spec", lambda name: object() if usb1 else None)
        for name in ("XDG_DATA_HOME", "XDG_DATA_DIRS", "SIGROK_FIRMWARE_DIR"):
            monkeypatch.setenv(name, str(tmp_path))

    return make


def test_nothing_is_plugged_in(machine: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    machine(port("/dev/ttyS0"), sigrok_cli=None)
    shown = run("analysers", capsys=capsys)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.splitlines() == [
        "m43: no logic analyser is plugged in; --probe asks at serial ports, too",
        "m43: sigrok-cli is missing, with which sigrok:DRIVER works; on Debian: apt install sigrok-cli",
    ]


def test_without_libusb(machine: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    machine(devices=NO_LIBUSB)
    shown = run("analysers", capsys=capsys)
    assert shown.code == 1
    assert shown.err.splitlines()[1] == (
        "m43: FX2 analysers cannot be looked for: libusb is not on this machine; on Debian: apt install libusb-1.0-0"
    )
    told = json.loads(run("analysers", "--json", capsys=capsys).out)
    assert (told["analysers"], len(told["missing"])) == ([], 1)
    assert sorted(told["sources"]) == ["bridge", "fx2lafw", "pico", "sigrok", "sump"]


def test_what_is_plugged_in_and_what_it_lacks(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = port("/dev/ttyACM0", vid=0x2E8A, pid=0x000A, product="Pico", description="Pico")
    bare = fx2(idVendor=0x0925, idProduct=0x3881, manufacturer="", product="", port_numbers=(2,))
    machine(board, port("/dev/ttyS0"), devices=[bare, fx2(serial_number="42")])
    shown = run("analysers", capsys=capsys)
    assert shown.code == 0
    assert shown.out.splitlines() == [
        "source             analyser                        channels  up to   state",
        "fx2lafw:42         sigrok FX2, 8 channels          8         24 MHz  ready",
        "fx2lafw            Saleae Logic, or a clone of it  8         24 MHz  cannot be used yet",
        (
            "pico:/dev/ttyACM0  Pico                                              "
            "perhaps: made with the Pico SDK; --probe asks it"
        ),
    ]
    (line,) = shown.err.splitlines()
    assert line.startswith(
        "m43: fx2lafw: the Saleae Logic, or a clone of it needs the firmware fx2lafw-saleae-logic.fw"
    )
    monkeypatch.setattr("m43drivers.analyser.fx2usb._allowed", lambda device: False)
    told = json.loads(run("analysers", "--json", capsys=capsys).out)["analysers"]
    assert [one["usable"] for one in told] == [False, False, False]
    assert 'ATTR{idVendor}=="1d50", ATTR{idProduct}=="608c"' in told[0]["missing"]
    assert told[2]["perhaps"] == "made with the Pico SDK; --probe asks it"


RULE = (
    "put into /etc/udev/rules.d/60-m43-analyser.rules:"
    ' SUBSYSTEM=="usb", ATTR{idVendor}=="0925", ATTR{idProduct}=="3881", MODE="0660", TAG+="uaccess"'
    " and plug it out and in again"
)
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="udev is a part of Linux")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Device]:
    """Return what plugs in an analyser that pyusb's backend does not let this user open."""

    def plug_in(*, loaded: bool = False) -> Device:
        device = Device(serial="77")
        device.strings |= {1: "sigrok", 2: "fx2lafw"} if loaded else {}
        bus = Bus(device, refuses=errno.EACCES)
        monkeypatch.setattr(usb.backend.libusb1, "get_backend", lambda: bus)
        (tmp_path / MODELS[LOGIC].firmware).write_bytes(IMAGE)
        monkeypatch.setenv("SIGROK_FIRMWARE_DIR", str(tmp_path))
        monkeypatch.setattr(list_ports, "comports", list)
        return device

    return plug_in


@on_linux
def test_without_permission_the_udev_rule_is_printed(
    refusing: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    device = refusing()
    shown = run("analysers", capsys=capsys)
    assert shown.code == 1
    assert shown.out.splitlines()[1].endswith("cannot be used yet")
    assert f"m43: fx2lafw: you may not open the analyser; {RULE}" in shown.err.splitlines()
    (one,) = json.loads(run("analysers", "--json", capsys=capsys).out)["analysers"]
    assert (one["usable"], one["missing"]) == (False, f"you may not open the analyser; {RULE}")
    assert device.log == []


@on_linux
def test_sniffing_without_permission_prints_the_udev_rule(
    refusing: Callable[..., Device], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    refusing()
    target = tmp_path / "a.jsonl"
    shown = run("sniff", "--live", "fx2lafw", "--record", str(tmp_path / "a.sr"), "-o", str(target), capsys=capsys)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == f"m43: fx2lafw: you may not open the analyser; {RULE}\n"
    assert [path.name for path in tmp_path.iterdir()] == [MODELS[LOGIC].firmware]


@on_linux
@pytest.mark.skipif(find_spec("usb1") is None, reason="the Python package libusb1 is not installed")
def test_sniffing_with_the_firmware_loaded_prints_the_udev_rule(
    refusing: Callable[..., Device], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then libusb1 meets the refusal, not pyusb."""
    import usb1

    def refuse() -> None:
        raise usb1.USBErrorAccess(usb1.ERROR_ACCESS)

    there = refusing(loaded=True)
    device = SimpleNamespace(getBusNumber=lambda: BUS, getDeviceAddress=lambda: there.address, open=refuse)
    monkeypatch.setattr(fx2usb, "_strings", lambda _: {"manufacturer": "sigrok", "product": "fx2lafw", "serial": ""})
    monkeypatch.setattr(usb1.USBContext, "getDeviceList", lambda context, **_: [device])
    shown = run("sniff", "--live", "fx2lafw", capsys=capsys)
    assert (shown.code, shown.out, shown.err) == (2, "", f"m43: fx2lafw: you may not open the analyser; {RULE}\n")


def test_elsewhere_there_is_no_udev(
    refusing: Callable[..., Device], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing()
    monkeypatch.setattr(sys, "platform", "darwin")
    shown = run("sniff", "--live", "fx2lafw", capsys=capsys)
    expected = "m43: fx2lafw: you may not open the analyser; another program or a driver of the system may hold it\n"
    assert (shown.code, shown.err) == (2, expected)


def test_without_libusb1_an_fx2_cannot_be_used(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    machine(devices=[fx2()], usb1=False)
    shown = run("analysers", capsys=capsys)
    assert shown.code == 1
    assert "m43: fx2lafw: the Python package libusb1 is missing" in shown.err


@pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")
def test_probing_asks_at_serial_ports(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sumpport.SETTLE_S", "sumpport.ANSWER_S", "picoport.SETTLE_S", "picoport.ANSWER_S"):
        monkeypatch.setattr(f"m43drivers.analyser.{name}", 0.1)
    with Plugged(Sump()) as sump, Plugged(Pico()) as pico, Plugged(Sump(identity=b"")) as other:
        machine(*map(port, (sump, pico, other)))
        shown = run("analysers", "--probe", "--json", capsys=capsys)
    assert shown.code == 0
    told = {one["source"]: (one["name"], one["channels"], one["usable"]) for one in json.loads(shown.out)["analysers"]}
    assert told == {f"sump:{sump}": ("model", 8, True), f"pico:{pico}": ("sigrok-pico, version 02", 21, True)}


def test_a_board_with_micropython_may_be_a_bridge(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    machine(port("/dev/ttyACM0", vid=0x2E8A, pid=0x0005, product="Board in FS mode", description="Board in FS mode"))
    (one,) = json.loads(run("analysers", "--json", capsys=capsys).out)["analysers"]
    assert (one["source"], one["perhaps"]) == ("bridge:/dev/ttyACM0", "runs MicroPython; --probe asks it")


@pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")
def test_probing_finds_bridges_and_says_which_are_too_old(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sumpport.SETTLE_S", "sumpport.ANSWER_S", "picoport.SETTLE_S", "picoport.ANSWER_S"):
        monkeypatch.setattr(f"m43drivers.analyser.{name}", 0.1)
    old = Answering({Hello: HelloAnswer(1, 7, 0x2002, "m43 bridge", "0.2.0")})
    with bridge("--pty") as (_, new), Plugged(old) as path:
        machine(port(new), port(path))
        shown = run("analysers", "--probe", "--json", capsys=capsys)
    told = {one["source"]: (one["name"], one["usable"], one["missing"]) for one in json.loads(shown.out)["analysers"]}
    assert told == {
        f"bridge:{new}": ("m43 bridge, simulated, firmware 0.3.0", True, None),
        f"bridge:{path}": (
            "m43 bridge, firmware 0.2.0",
            False,
            "its firmware 0.2.0 is too old to listen; copy the firmware that belongs to this program to it",
        ),
    }


@pytest.mark.skipif(shutil.which("umockdev-run") is None, reason="umockdev is not installed")
@pytest.mark.skipif(find_spec("usb1") is None, reason="the Python package libusb1 is not installed")
def test_an_analyser_on_usb_is_found_by_the_system(tmp_path: Path) -> None:
    device = device_file(tmp_path / "usb.umockdev", serial="S1")
    recording = Traffic().write(tmp_path / "usb.pcap")
    mock = ["umockdev-run", "--device", str(device), "--pcap", f"{SYSFS}={recording}", "--"]
    asked = [*mock, sys.executable, "-m", "m43tools", "analysers", "--json"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    assert found.returncode == 0, found.stderr
    (one,) = json.loads(found.stdout)["analysers"]
    assert (one["source"], one["name"], one["usable"]) == ("fx2lafw:S1", "sigrok FX2, 8 channels", True)
