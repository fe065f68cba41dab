"""How long an FX2 analyser has no transfer to fill: pyusb beside libusb1, on one mocked device, a decoder at work.

Both run in a thread under umockdev, while another thread of the process decodes in plain Python. The mock sends at
once, so the time from one transfer to the next is this side's alone; what "nothing else" takes is the mock's own work.

An FX2 holds 2 KiB: 85 µs at 24 MHz. With pyusb it has nothing but that from the end of one read, which must wait for
the interpreter before it returns, to the start of the next. With libusb1 there are 32 transfers of 10 ms each; only a
pause that is longer than all of them together leaves the FX2 without one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.analyser.usbmock import SYSFS, Traffic, device_file

TRANSFERS, SIZE, IN_FLIGHT = 400, 80_384, 32
HOLDS_US = 85.3
LASTS_US = 10_000 * IN_FLIGHT

LOAD = """
import json, sys, threading, time
ended = threading.Event()

def decode():
    total = 0
    while not ended.is_set():
        for level in range(2000):
            total ^= level << 1

"""

PYUSB = """
import usb.core
device = usb.core.find(idVendor=0x1D50)
usb.util.claim_interface(device, 0)
buffer = usb.util.create_buffer(SIZE)
gaps = []

def read():
    began = None
    for _ in range(TRANSFERS):
        now = time.perf_counter()
        if began is not None:
            gaps.append(now - began)
        began = now
        device.read(0x82, buffer, 2000)
        bytes(buffer)
    ended.set()
"""

LIBUSB1 = """
import usb1
context = usb1.USBContext().__enter__()
handle = next(one for one in context.getDeviceList() if one.getVendorID() == 0x1D50).open()
handle.claimInterface(0)
gaps, turns, count = [], [], 0

def done(transfer):
    global count
    now = time.perf_counter()
    if turns:
        gaps.append(now - turns[-1])
    turns.append(now)
    bytes(transfer.getBuffer()[: transfer.getActualLength()])
    count += 1
    transfer.submit()

transfers = []
for _ in range(IN_FLIGHT):
    transfer = handle.getTransfer()
    transfer.setBulk(0x82, SIZE, callback=done)
    transfer.submit()
    transfers.append(transfer)

def read():
    while count < TRANSFERS:
        context.handleEventsTimeout(0.1)
    ended.set()
"""

RUN = """
decoding = threading.Thread(target=decode)
reading = threading.Thread(target=read)
if {load}:
    decoding.start()
reading.start()
reading.join()
gaps.sort()
print(json.dumps([1e6 * gaps[len(gaps) // 2], 1e6 * gaps[-len(gaps) // 100], 1e6 * gaps[-1]]))
sys.stdout.flush()
import os
os._exit(0)
"""


def recording(folder: Path, in_flight: int) -> Path:
    """Write a recording of so many transfers that wait at a time."""
    traffic = Traffic()
    traffic.stream(0x82, SIZE, [bytes(SIZE)] * TRANSFERS, in_flight)
    return traffic.write(folder / f"{in_flight}.pcap")


def pauses(folder: Path, program: str, in_flight: int, *, load: bool) -> list[float]:
    """Run a program under umockdev; return its median, 99th percentile and longest pause in microseconds."""
    device = device_file(folder / "usb.umockdev")
    numbers = f"TRANSFERS, SIZE, IN_FLIGHT = {TRANSFERS}, {SIZE}, {IN_FLIGHT}\n"
    text = LOAD + numbers + program + RUN.replace("{load}", str(load))
    mock = ["umockdev-run", "--device", str(device), "--pcap", f"{SYSFS}={recording(folder, in_flight)}", "--"]
    run = subprocess.run([*mock, sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    found: list[float] = json.loads(run.stdout)
    return found


def main() -> None:
    """Print a table."""
    if shutil.which("umockdev-run") is None:
        raise SystemExit("umockdev is not installed")
    print("µs from one transfer to the next         median       99 %    longest    may last")
    rows = (("pyusb", PYUSB, 1, HOLDS_US), ("libusb1", LIBUSB1, IN_FLIGHT, LASTS_US))
    with tempfile.TemporaryDirectory() as name:
        for title, program, in_flight, most in rows:
            for load in (False, True):
                figures = pauses(Path(name), program, in_flight, load=load)
                row = "".join(f"{figure:11.0f}" for figure in figures)
                print(f"{title + (', decoder at work' if load else ', nothing else'):36}{row} {most:11.0f}")


if __name__ == "__main__":
    main()
