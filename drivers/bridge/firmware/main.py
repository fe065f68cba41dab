"""Starts the bridge on a board: joins USB to `Bridge`, for ever."""

import os
import select
import sys
import time

import machine
import micropython
import rp2

from m43bridge import pins
from m43bridge.bridge import Bridge
from m43bridge.contacts import PioContacts

_CHUNK = 64
_LONGEST_WAIT_MS = 100


def run() -> None:
    """Serve the host; the byte 03 is a byte like others, so ctrl-C does not stop it."""
    micropython.kbd_intr(-1)
    contacts = PioContacts(machine, rp2, time)
    bridge = Bridge(contacts, int.from_bytes(os.urandom(4), "little"))
    reads = select.poll()
    reads.register(sys.stdin, select.POLLIN)
    writes = select.poll()
    writes.register(sys.stdout, select.POLLOUT)
    unsent = b""
    while True:
        bridge.step()
        unsent = unsent or bridge.take(_CHUNK)
        if unsent and writes.poll(0):
            sys.stdout.buffer.write(unsent)
            unsent = b""
        wait_ms = 0 if unsent else max(0, (bridge.next_us() - contacts.now_us()) // 1000)
        if bridge.hears and reads.poll(min(wait_ms, _LONGEST_WAIT_MS)):
            bridge.feed(_heard(reads))


def _heard(reads) -> bytes:  # type: ignore[no-untyped-def]
    """Return the bytes that are there, at most a chunk: a read of more than is there would wait."""
    heard = bytearray()
    while len(heard) < _CHUNK and reads.poll(0):
        heard.extend(sys.stdin.buffer.read(1))
    return bytes(heard)


if machine.Pin(pins.KEEP_OUT, machine.Pin.IN, machine.Pin.PULL_UP).value():
    try:
        run()
    finally:
        machine.reset()
