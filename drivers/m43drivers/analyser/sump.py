"""SUMP, the protocol of the Openbench Logic Sniffer and its kin: commands, metadata, buffers. Pure: no port here.

Sources: libsigrok ``src/hardware/openbench-logic-sniffer/`` (as of 883c2ac); the protocol as its author published it,
https://www.sump.org/projects/analyzer/protocol/.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.analyser.model import AnalyserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IDS", "Abilities", "Plan", "Short", "abilities_of", "metadata_end", "plan_of", "runs_of"]

CLOCK_HZ = 100_000_000
LARGEST_DIVIDER = (1 << 24) - 1
GROUP = 8
MOST_GROUPS = 4

IDS = (b"1ALS", b"1SLO")
"""What an analyser answers when it is asked who it is."""


class Short(IntEnum):
    """Commands of one byte."""

    RESET = 0x00
    ARM = 0x01
    IDENTIFY = 0x02
    METADATA = 0x04


DIVIDER, COUNTS, FLAGS, DELAY_COUNT, READ_COUNT = 0x80, 0x81, 0x82, 0x83, 0x84
TRIGGER_MASK, TRIGGER_VALUE, TRIGGER_CONFIG = 0xC0, 0xC1, 0xC2
TRIGGER_START = 1 << 27

NOISE_FILTER, RLE = 1 << 1, 1 << 8
FIRST_GROUP_FLAG = 2

LARGEST_SHORT_COUNT = 256 * 1024
QUARTER = 4

_TEXT, _LONG, _BYTE = 0, 1, 2
_SIZES = {_LONG: 4, _BYTE: 1}
_NAMES = {
    0x01: "name",
    0x02: "fpga",
    0x20: "channels",
    0x21: "memory_bytes",
    0x23: "fastest_hz",
    0x24: "protocol",
    0x40: "channels",
    0x41: "protocol",
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an analyser says of itself; the values of the Openbench Logic Sniffer where it does not.

    Attributes:
        name: what it calls itself.
        fpga: the version of its logic.
        channels: how many it has.
        memory_bytes: for samples.
        fastest_hz: its highest rate.
        protocol: version of the protocol.
    """

    name: str = "a SUMP analyser"
    fpga: str = ""
    channels: int = 32
    memory_bytes: int = 24 * 1024
    fastest_hz: int = CLOCK_HZ
    protocol: int = 2


def abilities_of(data: bytes) -> Abilities:
    """Read metadata as far as they are whole: tokens with a text, four bytes or one, and 00 at the end."""
    told: dict[str, Any] = {}
    at = 0
    while at < len(data) and data[at]:
        token, begin = data[at], at + 1
        end = _value_end(token, data, begin)
        if end is None:
            break
        if token in _NAMES:
            told[_NAMES[token]] = _value(token, data[begin:end])
        at = end + (token >> 5 == _TEXT)
    return Abilities(**{key: value for key, value in told.items() if value})


def metadata_end(data: bytes) -> int | None:
    """Return how many bytes the metadata take, with the 00 behind them; None while they are not whole."""
    at = 0
    while at < len(data) and data[at]:
        end = _value_end(data[at], data, at + 1)
        if end is None:
            return None
        at = end + (data[at] >> 5 == _TEXT)
    return at + 1 if at < len(data) else None


def _value_end(token: int, data: bytes, begin: int) -> int | None:
    if token >> 5 == _TEXT:
        end = data.find(b"\0", begin)
        return None if end < 0 else end
    end = begin + _SIZES.get(token >> 5, 0)
    return None if end > len(data) else end


def _value(token: int, data: bytes) -> str | int:
    return data.decode("ascii", "replace") if token >> 5 == _TEXT else int.from_bytes(data, "big")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to record, and the commands for it.

    Attributes:
        rate_hz: samples per second, as the divider gives them.
        channels: how many, from the first on.
        groups: bytes per entry of the buffer.
        entries: how many entries the buffer gives.
        rle: whether repeats are counted.
        trigger: mask and value of the levels that start a buffer, or None to start at once.
        commands: to send before arming.
    """

    rate_hz: Fraction
    channels: int
    groups: int
    entries: int
    rle: bool
    trigger: tuple[int, int] | None
    commands: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of a buffer."""
        return self.entries * self.groups

    @property
    def longest_s(self) -> float:
        """How long filling a buffer takes at most, once it has begun."""
        repeats = 1 << (GROUP * self.groups - 1) if self.rle else 1
        return float(self.entries * repeats / self.rate_hz)


def plan_of(
    abilities: Abilities, rate_hz: Fraction, channels: int, *, rle: bool, trigger: tuple[int, int] | None = None
) -> Plan:
    """Choose divider, groups and counts.

    Args:
        abilities: of the analyser.
        rate_hz: samples per second.
        channels: how many, from the first on.
        rle: have repeats counted; that takes the highest bit of the highest group.
        trigger: mask and value of the levels that start a buffer, or None to start at once.

    Raises:
        AnalyserError: there is no such divider, or not as many channels; the text says what there is.
    """
    most = min(abilities.channels, MOST_GROUPS * GROUP) - (1 if rle and abilities.channels % GROUP == 0 else 0)
    if not 1 <= channels <= most:
        raise AnalyserError(f"sump: expected 1 to {most} channels{' with ?rle=1' if rle else ''}, found {channels}")
    divider = Fraction(CLOCK_HZ) / rate_hz - 1
    if divider.denominator != 1 or not 0 <= divider <= LARGEST_DIVIDER or rate_hz > abilities.fastest_hz:
        fastest = f"{min(abilities.fastest_hz, CLOCK_HZ) / 1e6:g}"
        raise AnalyserError(
            f"sump: {float(rate_hz):g} Hz is no rate of it; take 100 MHz divided by a whole number, up to {fastest} MHz"
        )
    groups = (channels + (1 if rle else 0) + GROUP - 1) // GROUP
    entries = abilities.memory_bytes // groups // QUARTER * QUARTER
    if not entries:
        raise AnalyserError(f"sump: {abilities.name} says it has {abilities.memory_bytes} bytes of memory; reset it")
    commands = (
        _long(DIVIDER, int(divider)),
        *_counts(entries),
        _long(FLAGS, _flags(groups, rle)),
        *_trigger(trigger),
    )
    return Plan(rate_hz, channels, groups, entries, rle, trigger, commands)


def _flags(groups: int, rle: bool) -> int:
    unused = sum(1 << (FIRST_GROUP_FLAG + group) for group in range(groups, MOST_GROUPS))
    return unused | NOISE_FILTER | (RLE if rle else 0)


def _counts(entries: int) -> tuple[bytes, ...]:
    count = entries // QUARTER - 1
    if entries > LARGEST_SHORT_COUNT:
        return _long(READ_COUNT, count), _long(DELAY_COUNT, count)
    return (_long(COUNTS, count | count << 16),)


def _trigger(trigger: tuple[int, int] | None) -> tuple[bytes, ...]:
    mask, value = trigger or (0, 0)
    return _long(TRIGGER_MASK, mask), _long(TRIGGER_VALUE, value), _long(TRIGGER_CONFIG, TRIGGER_START)


def _long(command: int, value: int) -> bytes:
    return bytes([command]) + value.to_bytes(4, "little")


def runs_of(data: bytes, groups: int, *, rle: bool) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Turn a buffer, newest entry first, into runs in the order of time: states, and how often each was seen.

    A count stands before the value that it repeats, as the buffer comes; a count without its value, which the end of a
    buffer can cut off, says nothing. So does a part of an entry.

    Args:
        data: the buffer, whole or cut off.
        groups: bytes per entry.
        rle: whether it holds counts.
    """
    count = len(data) // groups
    octets = np.zeros((count, 4), np.uint8)
    octets[:, :groups] = np.frombuffer(data, np.uint8, count * groups).reshape(count, groups)
    entries = octets.view("<u4")[:, 0]
    if not rle:
        return entries[::-1], np.ones(count, np.int64)
    flag = np.uint32(1 << (GROUP * groups - 1))
    counting = (entries & flag) != 0
    values = np.flatnonzero(~counting)
    counted = np.zeros(values.size, np.int64)
    behind = values > 0
    before = values[behind] - 1
    counted[behind] = np.where(counting[before], entries[before] & ~flag, 0)
    return entries[values][::-1], counted[::-1] + 1
