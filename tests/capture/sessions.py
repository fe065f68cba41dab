"""A simulated session to write and to read again: a body and a lens at the pins, and what they said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from m43drivers.capture import Channel, open_capture
from m43drivers.capture.writing import channels_of
from m43drivers.lines import lines_by_name
from m43drivers.observe import observe
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.profiles import PROFILES
from m43proto.ends import NEVER, PinBody, PinLens, Script
from m43proto.events import ByteSeen, PinEventSeen, TransactionSeen
from m43proto.messages import PUBLIC
from m43proto.mount import Mount
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.observing import observed, of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from m43proto.events import Event

INITIALISE = bytes.fromhex("b0f20000")
IDENTIFY = bytes.fromhex("c1f90000")
POLL = bytes.fromhex("c1800106")
DRIVE = bytes.fromhex("6080fe02")
BLOCK = bytes.fromhex("01d703000000000000")


@dataclass(frozen=True)
class Session:
    """What a simulation gave: changes of levels, the same as channels, their end, and the events in them."""

    changes: list[tuple[int, int]]
    channels: tuple[Channel, ...]
    end_ns: int
    events: list[Event]


def _frames(end: PinBody) -> Script[None]:
    """Wake the lens and talk with it, without a clock hold: every eight clocks from the first on are a byte."""
    yield from end.pause(1_000_000)
    yield from end.power_up()
    for command in (INITIALISE, IDENTIFY):
        yield from end.transact(command)
        yield from end.pause(1_000_000)
    for _ in range(3):
        yield from end.frame_sync(500_000)
        yield from end.transact(POLL)
        yield from end.pause(100_000)
        yield from end.toggle_focus()
        yield from end.transact(DRIVE, BLOCK)
        yield from end.pause(8_000_000)
    yield from end.power_down()


@cache
def simulated(body: str = "bell_body", lens: str = "bell_lens") -> Session:
    """Return a session of some half a second between ends of these timings."""
    glass = SimulatedLens(PROFILES["olympus-14-42"])
    mount = Mount(
        PinBody(BODY_TIMINGS[body], _frames, PUBLIC.shape_of), PinLens(LENS_TIMINGS[lens], glass, PUBLIC.shape_of)
    )
    changes = list(mount.run(NEVER))
    end_ns = changes[-1][0] + 1_000_000
    return Session(changes, channels_of(changes), end_ns, observed(changes, end_ns=end_ns))


def decoded(path: Path) -> list[Event]:
    """Return the events in a capture file whose channels are called like the lines."""
    capture = open_capture(path)
    return list(observe(capture, lines_by_name(capture), PUBLIC))


def said(events: Iterable[Event]) -> list[object]:
    """Return what events say apart from their times."""
    listed = list(events)
    kinds: list[object] = [type(event) for event in listed]
    bytes_seen: list[object] = [(byte.sender, byte.value) for byte in of(ByteSeen, listed)]
    transactions: list[object] = [
        (one.command, one.command_sum, one.length, one.data, one.data_sum, one.status, one.complete)
        for one in of(TransactionSeen, listed)
    ]
    return kinds + bytes_seen + transactions


def pins(events: Iterable[Event]) -> list[object]:
    """Return the events on single lines, apart from their times."""
    return [(event.event, event.level) for event in of(PinEventSeen, events)]
