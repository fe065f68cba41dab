"""``m43 ports`` as its user runs it."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import usb.core
from serial.tools import list_ports, list_ports_common

from tests.test_cli import run
from tests.transports.test_bridge_pty import process

if TYPE_CHECKING:
    from collections.abc import Callable

NO_LIBUSB = usb.core.NoBackendError("No backend available")


def port(device: str, **known: object) -> list_ports_common.ListPortInfo:
    found = list_ports_common.ListPortInfo(device)
    for name, value in known.items():
        setattr(found, name, value)
    return found


BOARD = port(
    "/dev/ttyACM0", vid=0x2E8A, pid=5, product="Board in FS mode", description="Board in FS mode", serial_number="e661"
)
NAMED = port("/dev/ttyACM1", vid=0x1209, pid=1, product="M43 bridge", description="M43 bridge - CDC", serial_number="")
PRINTER = port("/dev/ttyUSB0", vid=0x1A86, pid=0x7523, product="USB Serial", description="USB Serial")
BUILT_IN = port("/dev/ttyS0")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes a machine of these ports and these USB devices."""

    def make(*ports: list_ports_common.ListPortInfo, usb_ids: object = ()) -> None:
        def find(*, find_all: bool) -> list[SimpleNamespace]:
            assert find_all
            if isinstance(usb_ids, Exception):
                raise usb_ids
            return [SimpleNamespace(idVendor=vendor, idProduct=product) for vendor, product in usb_ids]  # type: ignore[attr-defined]

        monkeypatch.setattr(list_ports, "comports", lambda: list(ports))
        monkeypatch.setattr(usb.core, "find", find)

    return make


def test_ports_are_listed_and_bridges_marked(machine: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    machine(PRINTER, BUILT_IN, NAMED, BOARD)
    shown = run("ports", capsys=capsys)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines() == [
        "port          usb id     description       bridge",
        "/dev/ttyACM0  2e8a:0005  Board in FS mode  perhaps: MicroPython on an RP2040 or RP2350",
        "/dev/ttyACM1  1209:0001  M43 bridge - CDC  perhaps: it names m43",
        "/dev/ttyS0",
        "/dev/ttyUSB0  1a86:7523  USB Serial",
    ]


def test_no_port(machine: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    machine()
    shown = run("ports", capsys=capsys)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err == "m43: there is no serial port; is the bridge plugged in?\n"
    shown = run("ports", "--json", capsys=capsys)
    assert (shown.code, json.loads(shown.out)) == (1, {"ports": [], "boot_loaders": []})


def test_a_board_in_its_boot_loader(machine: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    machine(PRINTER, usb_ids=[(0x2E8A, 3), (0x2E8A, 0xF), (0x2E8A, 5), (1, 2)])
    shown = run("ports", capsys=capsys)
    assert shown.code == 0
    assert shown.err.splitlines() == [
        f"m43: a board with {board} is in its boot loader; copy MicroPython to it, and then the firmware"
        for board in ("RP2040 (2e8a:0003)", "RP2350 (2e8a:000f)")
    ]
    told = json.loads(run("ports", "--json", capsys=capsys).out)
    assert told["boot_loaders"] == [
        {"chip": "RP2040", "usb_id": "2e8a:0003"},
        {"chip": "RP2350", "usb_id": "2e8a:000f"},
    ]


@pytest.mark.parametrize("error", [NO_LIBUSB, usb.core.USBError("no access")])
def test_without_libusb_it_says_so_where_it_matters(
    machine: Callable[..., None], error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(PRINTER, usb_ids=error)
    shown = run("ports", capsys=capsys)
    assert shown.err == "m43: boards in their boot loader cannot be told, for libusb is missing or refuses\n"
    assert json.loads(run("ports", "--json", capsys=capsys).out)["boot_loaders"] is None
    machine(BOARD, usb_ids=error)
    assert run("ports", capsys=capsys).err == ""


def test_json(machine: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    machine(BOARD, BUILT_IN)
    board, built_in = json.loads(run("ports", "--json", capsys=capsys).out)["ports"]
    assert board == {
        "device": "/dev/ttyACM0",
        "url": "serial:/dev/ttyACM0",
        "description": "Board in FS mode",
        "usb_id": "2e8a:0005",
        "serial_number": "e661",
        "perhaps_bridge": "MicroPython on an RP2040 or RP2350",
        "bridge": None,
        "error": None,
    }
    assert (built_in["usb_id"], built_in["perhaps_bridge"]) == (None, None)


@pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")
def test_probing_says_hello(machine: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    with process("--pty") as url:
        bridge = port(url.removeprefix("serial:"))
        machine(bridge, port("/dev/no-such-port"))
        shown = run("ports", "--probe", capsys=capsys)
        assert shown.code == 0
        assert "yes: m43 bridge, simulated, firmware " in shown.out
        assert "no: there is no such port; m43 ports lists those there are" in shown.out
        told = json.loads(run("ports", "--probe", "--json", capsys=capsys).out)["ports"]
        assert sorted(bool(one["bridge"]) for one in told) == [False, True]
        assert sorted(bool(one["error"]) for one in told) == [False, True]
    machine(port("/dev/no-such-port"))
    assert run("ports", "--probe", capsys=capsys).code == 1
    machine()
    assert run("ports", "--probe", capsys=capsys).code == 1
