"""An FX2 analyser that umockdev plays: the same recording for this project's driver and for sigrok-cli's."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.analyser import AccessError, AnalyserError, LiveStream
from m43drivers.analyser.fx2 import MODELS
from m43drivers.analyser.fx2lafw import Fx2Reader
from m43drivers.analyser.fx2usb import Found
from tests.analyser.usbmock import ADDRESS, BUS, SYSFS, Traffic, device_file

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(shutil.which("umockdev-run") is None, reason="umockdev is not installed"),
    pytest.mark.skipif(find_spec("usb1") is None, reason="the Python package libusb1 is not installed"),
]

RATE = 8_000_000
SIZE = 80_384
IN_FLIGHT = 32
START = b"\x40\x00\x05"
NO_DEVICE, STALLED = -19, -32

OURS = """
import json, sys, threading
from fractions import Fraction
import numpy as np
from m43drivers.analyser import AnalyserError, Notice, open_analyser
from m43drivers.analyser.fx2usb import find_analysers
from tests.transports.support import descriptors

def samples_of(items, out):
    level = at = 0
    for item in items:
        if isinstance(item, Notice):
            told.append([item.kind, item.tick, item.until, item.exact, item.text])
            if item.until is not None:
                out.write(bytes([level]) * (item.tick - at))
                at = item.until
                if {stop_at_notice}:
                    live.stop()
            continue
        starts = item.ticks.tolist() + [item.end + 1]
        out.write(bytes([level]) * (starts[0] - at))
        lengths = np.diff(starts)
        out.write(np.repeat(item.states, lengths).tobytes())
        level, at = int(item.states[-1]) if len(lengths) else level, item.end + 1

told = []
find_analysers()  # pyusb keeps the context of libusb that it opens first
before = descriptors(), threading.active_count()
try:
    with open_analyser("fx2lafw{address}", rate_hz=Fraction({rate})) as live, open(sys.argv[1], "wb") as out:
        samples_of(live.items(), out)
        closed = live.close()
    leaks = (descriptors(), threading.active_count()) != before
    print(json.dumps(dict(told=told, closed=closed, leaks=leaks, details=dict(live.capture.provenance.details))))
except AnalyserError as error:
    print(json.dumps(dict(error=str(error))))
"""


def scan() -> Traffic:
    """What opening an analyser sends, sigrok-cli's questions for its names included."""
    traffic = Traffic()
    for index, text in [(1, "sigrok"), (2, "fx2lafw")] * 2:
        words = text.encode("utf-16-le")
        traffic.control_in(0x80, 6, 0x0300, 0, 4, b"\x04\x03\x09\x04")
        traffic.control_in(0x80, 6, 0x0300 | index, 0x0409, 255, bytes([len(words) + 2, 3]) + words)
    traffic.control_in(0xC0, 0xB0, 0, 0, 2, b"\x01\x04")
    traffic.control_in(0xC0, 0xB2, 0, 0, 1, b"\x01")
    return traffic


class Analyser:
    """An analyser that has begun: transfers wait, and it was told to start."""

    def __init__(self) -> None:
        self.traffic = scan()
        self._waiting = [self.traffic.submit(0x82, SIZE) for _ in range(IN_FLIGHT)]
        self.start()

    def start(self) -> None:
        self.traffic.control_out(0x40, 0xB1, 0, 0, START)

    def send(self, data: bytes, status: int = 0) -> None:
        self.traffic.complete(self._waiting.pop(0), 0x82, data, status)
        if not status:
            self._waiting.append(self.traffic.submit(0x82, SIZE))


def noise(transfers: int, seed: int) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(SIZE) for _ in range(transfers)]


def mocked(folder: Path, traffic: Traffic, *command: str | Path, **device: Any) -> subprocess.CompletedProcess[str]:
    run = ["umockdev-run", "--device", device_file(folder / "usb.umockdev", **device)]
    recording = traffic.write(folder / "usb.pcap")
    return subprocess.run(
        [*map(str, run), "--pcap", f"{SYSFS}={recording}", "--", *map(str, command)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=30,
        check=False,
    )


def ours(
    folder: Path, traffic: Traffic, *, rate: int = RATE, address: str = "", stop_at_notice: bool = False, **device: Any
) -> tuple[dict[str, Any], bytes]:
    program = folder / "ours.py"
    text = OURS.replace("{rate}", str(rate)).replace("{address}", address)
    program.write_text(text.replace("{stop_at_notice}", str(stop_at_notice)))
    out = folder / "ours.bin"
    import_from = f"import sys; sys.path[:0] = {sys.path!r}; exec(open({str(program)!r}).read())"
    run = mocked(folder, traffic, sys.executable, "-c", import_from, out, **device)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout), out.read_bytes() if out.exists() else b""


def test_our_driver_and_sigrok_cli_receive_the_same_bytes(tmp_path: Path) -> None:
    analyser, pieces = Analyser(), noise(30, 1)
    for piece in pieces:
        analyser.send(piece)
    told, data = ours(tmp_path, analyser.traffic)
    assert data == b"".join(pieces)
    assert (told["closed"], told["leaks"]) == (True, False)
    assert told["details"] == {"model": "sigrok FX2, 8 channels", "firmware": "1.4", "chip": "01"}
    program = shutil.which("sigrok-cli")
    if program is None:
        pytest.skip("sigrok-cli is not installed; only this project's driver was looked at")
    wanted = ("-d", "fx2lafw", "--config", f"samplerate={RATE}", "--samples", "2000000", "-O", "binary")
    run = mocked(tmp_path, analyser.traffic, program, *wanted, "-o", tmp_path / "theirs.bin")
    assert run.returncode == 0, run.stderr
    theirs = (tmp_path / "theirs.bin").read_bytes()
    assert len(theirs) == 2_000_000
    assert theirs == data[:2_000_000]


def test_an_overflow_is_told_with_its_time_and_recording_goes_on(tmp_path: Path) -> None:
    analyser, before, behind = Analyser(), noise(3, 2), noise(2, 3)
    for piece in [*before, b"\xaa" * 512]:
        analyser.send(piece)
    analyser.start()
    for piece in behind:
        analyser.send(piece)
    analyser.start()
    told, data = ours(tmp_path, analyser.traffic)
    first, second, last = told["told"]
    count = 3 * SIZE + 512
    assert first[:2] == ["overflow", count]
    assert first[2] > count + RATE // 5
    assert first[3] is False
    assert second[:2] == ["overflow", first[2] + 2 * SIZE]
    assert last[:3] == ["lost", second[2], None]
    assert data == b"".join(before) + b"\xaa" * 512 + b"".join(behind)


def test_an_analyser_that_starts_in_vain_is_lost(tmp_path: Path) -> None:
    analyser = Analyser()
    analyser.send(noise(1, 6)[0])
    for _ in range(4):
        analyser.start()
    told, data = ours(tmp_path, analyser.traffic)
    assert [notice[0] for notice in told["told"]] == ["overflow"] * 3 + ["lost"]
    assert told["told"][-1][4] == "the analyser was started 3 times in vain; plug it out and in again"
    assert len(data) == SIZE


@pytest.mark.parametrize(
    ("status", "text"), [(NO_DEVICE, "the analyser was unplugged"), (STALLED, "its endpoint stalled")]
)
def test_the_end_of_an_analyser_is_told_with_its_time(status: int, text: str, tmp_path: Path) -> None:
    analyser, pieces = Analyser(), noise(5, 4)
    for piece in pieces:
        analyser.send(piece)
    analyser.send(b"", status)
    told, data = ours(tmp_path, analyser.traffic)
    (notice,) = told["told"]
    assert notice[:3] == ["lost", 5 * SIZE, None]
    assert text in notice[4]
    assert data == b"".join(pieces)
    assert (told["closed"], told["leaks"]) == (True, False)


def test_stopping_calls_the_transfers_back(tmp_path: Path) -> None:
    analyser = Analyser()
    analyser.send(noise(1, 5)[0])
    analyser.start()
    told, data = ours(tmp_path, analyser.traffic, stop_at_notice=True)
    assert [notice[0] for notice in told["told"]] == ["overflow"]
    assert (told["closed"], told["leaks"], len(data)) == (True, False, SIZE)


def test_other_firmware_is_refused(tmp_path: Path) -> None:
    traffic = Traffic()
    traffic.control_in(0xC0, 0xB0, 0, 0, 2, b"\x02\x00")
    traffic.control_in(0xC0, 0xB2, 0, 0, 1, b"\x01")
    told, _ = ours(tmp_path, traffic)
    assert told["error"] == "fx2lafw: expected firmware 1.x in the analyser, found 2.0; plug it out and in again"


def test_serial_numbers_choose(tmp_path: Path) -> None:
    told, _ = ours(tmp_path, Traffic(), address=":77", serial="42")
    assert told["error"] == "fx2lafw:77: no analyser has this serial number; there: 42"


def fake_libusb1(monkeypatch: pytest.MonkeyPatch, code: int) -> Fx2Reader:
    """Return the reader of an analyser that libusb1 refuses to open."""
    usb1 = pytest.importorskip("usb1")

    def refuse() -> None:
        raise usb1.USBError(code)

    device = SimpleNamespace(getBusNumber=lambda: BUS, getDeviceAddress=lambda: ADDRESS, open=refuse)
    monkeypatch.setattr(usb1.USBContext, "getDeviceList", lambda context, **_: [device])
    usb_id = (0x1D50, 0x608C)
    found = Found(MODELS[usb_id], usb_id, BUS, ADDRESS, (1, 1), "", loaded=True, allowed=None)
    return Fx2Reader(found, Fraction(RATE), 8, START)


def test_without_permission_the_udev_rule_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AccessError, match=r'ATTR\{idVendor\}=="1d50"'):
        LiveStream(fake_libusb1(monkeypatch, -3))


def test_an_analyser_that_another_program_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnalyserError, match="another program uses the analyser"):
        LiveStream(fake_libusb1(monkeypatch, -6))


def test_without_libusb1_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = fake_libusb1(monkeypatch, -3)
    monkeypatch.setitem(sys.modules, "usb1", None)
    with pytest.raises(AnalyserError, match=r"expected the Python package libusb1.*pip install libusb1"):
        LiveStream(reader)


def test_an_impossible_rate_names_those_there_are(tmp_path: Path) -> None:
    told, _ = ours(tmp_path, Traffic(), rate=7_000_000)
    assert told["error"].startswith("fx2lafw: 7e+06 Hz is no rate of it with 8 channels; take 24 MHz, 16 MHz, 12 MHz")
