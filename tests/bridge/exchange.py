# mypy: ignore-errors
"""An exchange with the firmware's logic, for MicroPython and CPython alike: prints all that it says."""

import struct

from m43bridge import bridge, frames, listening, probe


class Pins(probe.Pins):
    """Pins that change by what is done to them, and lose edges now and then."""

    tick_ns = 100
    levels = 1
    hands = 0x1F

    def __init__(self):
        self.t_ns = 0
        self.out = 1
        self.held = []
        self.gone = 0

    def now_ns(self):
        return self.t_ns

    def spend(self, time_ns, until_ns):
        end_ns = self.t_ns + time_ns
        cut = until_ns >= 0 and end_ns > until_ns
        self.t_ns = until_ns if cut else end_ns
        self.held.append((self.t_ns // 100, self.out))
        return not cut

    def set(self, mask, levels):
        self.out = (self.out & ~mask | levels & mask) & 0x7F

    def flip(self, mask):
        self.out ^= mask & 0x7F

    def rate(self, setup_ns, out_low_ns, out_high_ns, in_low_ns, in_high_ns):
        self.bit_ns = out_low_ns + in_high_ns

    def delay(self, pause_ns, until_ns):
        return self.spend(pause_ns, until_ns)

    def wait(self, mask, levels, limit_ns, until_ns):
        if not self.spend(limit_ns // 2, until_ns):
            return probe.CUT
        return probe.REACHED if (self.t_ns ^ mask) & 1 else probe.MISSED

    def clock_out(self, value, count, until_ns):
        self.out ^= value & 3
        return self.spend(count * 1000, until_ns)

    def clock_in(self, until_ns):
        self.out ^= 1
        return self.t_ns // 1000 % 256 if self.spend(8000, until_ns) else -1

    def hand(self, kind, amount):
        print("hand", kind, amount)

    def edges(self):
        held, self.held = self.held, []
        return held

    def lost(self):
        return int(self.t_ns % 977 == 0)


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

    def probe(self):
        return Pins()

    def self_test(self):
        return 0, "nothing to test"


def draws(seed):
    """Yield numbers that look random, the same on every Python."""
    while True:
        seed = (seed * 1103515245 + 12345) & 0x7FFF_FFFF
        yield seed >> 16


def program(drawn):
    """Return a program of instructions that are drawn; it ends with the only way back, after an alarm."""
    out = bytearray([probe.NUMBERS["ALARM"], 0x80, 0x80, 0x40, 4, 0])
    for _ in range(next(drawn) % 30):
        code = next(drawn) % len(probe.INSTRUCTIONS)
        if "t" in probe.INSTRUCTIONS[code][1]:
            continue
        out.append(code)
        for letter in probe.INSTRUCTIONS[code][1]:
            out.append(next(drawn) % 128)
            if letter == "s":
                out.extend(bytes(out[-1]))
    return bytes(out) + bytes([probe.END])


def run(seed, count):
    """Say requests, right and wrong ones, with garbage between; print each byte that comes back."""
    drawn = draws(seed)
    contacts = Contacts()
    desk = bridge.Bridge(contacts, seed)
    for number in range(count):
        kind = next(drawn) % 11
        payload = bytes(next(drawn) % 256 for _ in range(next(drawn) % 12))
        if kind == bridge.TRANSACT and number % 3:
            block = bytes(next(drawn) % 3 for _ in range(next(drawn) % 700))
            payload = struct.pack("<IBH", next(drawn), bridge.WRITE, len(block)) + block
        if kind == bridge.FRAMES and number % 3:
            payload = struct.pack("<IHHBI", 16_667, 500, 1_500, next(drawn) % 2, next(drawn))
        if kind == bridge.POWER and number % 3:
            payload = bytes([next(drawn) % 2])
        if kind == bridge.PROBE and number % 3:
            payload = b""
        if kind == bridge.LOAD and number % 5:
            payload = program(drawn)
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


class Ears(listening.Ears):
    """Ears that hear lines and runs of clocks that are drawn, and lose some now and then."""

    def __init__(self, drawn):
        self.drawn = drawn
        self.t = 0
        self.lines = 0
        self.mark = 0

    def now(self):
        return self.t

    def word(self):
        self.t += next(self.drawn) % 900 + 1
        return (~self.t & listening.TIME_MASK) << 7 | self.mark | self.lines

    def take(self):
        edges, runs = [], []
        for _ in range(next(self.drawn) % 40):
            if next(self.drawn) % 3:
                self.lines ^= 1 << next(self.drawn) % 6
            elif self.mark:
                self.mark = 0
                count = next(self.drawn) % 8 + 1
                word = (1 << 31 | next(self.drawn) << 15) >> count
                runs.append(word if next(self.drawn) % 2 else word >> 8 if count < 8 else 0x5A80_0000)
            else:
                self.mark = 0x40
            edges.append(self.word())
        self.t += 600
        return (edges, runs) if next(self.drawn) % 50 else None

    def recover(self):
        self.mark = 0
        return next(self.drawn) % 1000, self.word()

    def end(self):
        print("deaf")


def hear(seed, count):
    """Let a bridge listen; print each byte that it tells."""
    contacts = Contacts()
    contacts.listen = lambda: Ears(draws(seed))
    desk = bridge.Bridge(contacts, seed)
    desk.feed(frames.encode(1, bridge.LISTEN))
    for number in range(count):
        contacts.t_us = desk.next_us()
        desk.step()
        print(number, list(desk.take(100_000)))
    desk.feed(frames.encode(2, bridge.STOP))
    print(list(desk.take(100_000)))


run(1, 400)
hear(2, 400)
