# mypy: ignore-errors
"""An exchange with the firmware's logic, for MicroPython and CPython alike: prints all that it says."""

import struct

from m43bridge import bridge, frames


class Contacts(bridge.Contacts):
    """Contacts that take time and answer by the command."""

    def __init__(self):
        self.t_us = 1 << 40

    def now_us(self):
        return self.t_us

    def power(self, on):
        self.t_us += 40_000
        return on

    def transact(self, command, shape, block):
        start_us = self.t_us
        self.t_us += 1_000 + command[0] * 10
        return command[1] % 5, start_us, self.t_us, bytes(command) + bytes(block)

    def shutter(self, level):
        print("shutter", level)

    def focus(self):
        print("focus")

    def self_test(self):
        return 0, "nothing to test"


def draws(seed):
    """Yield numbers that look random, the same on every Python."""
    while True:
        seed = (seed * 1103515245 + 12345) & 0x7FFF_FFFF
        yield seed >> 16


def run(seed, count):
    """Say requests, right and wrong ones, with garbage between; print each byte that comes back."""
    drawn = draws(seed)
    contacts = Contacts()
    desk = bridge.Bridge(contacts, seed)
    for number in range(count):
        kind = next(drawn) % 9
        payload = bytes(next(drawn) % 256 for _ in range(next(drawn) % 12))
        if kind == bridge.TRANSACT and number % 3:
            block = bytes(next(drawn) % 3 for _ in range(next(drawn) % 700))
            payload = struct.pack("<IBH", next(drawn), bridge.WRITE, len(block)) + block
        if kind == bridge.FRAMES and number % 3:
            payload = struct.pack("<IHHBI", 16_667, 500, 1_500, next(drawn) % 2, next(drawn))
        if kind == bridge.POWER and number % 3:
            payload = bytes([next(drawn) % 2])
        wire = frames.encode(number % 256, kind, payload)
        if number % 7 == 0:
            wire = bytes([next(drawn) % 256]) + wire
        cut = next(drawn) % len(wire)
        for part in (wire[:cut], wire[cut:]):
            desk.feed(part)
            for _ in range(next(drawn) % 6):
                contacts.t_us = max(contacts.t_us, desk.next_us())
                desk.step()
        print(number, list(desk.take(100_000)))


run(1, 400)
