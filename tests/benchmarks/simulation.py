"""How fast the mount is simulated: ``python -m tests.benchmarks.simulation``.

One minute of 60 Hz polling, at the pins and as whole transactions. The peer, in the same run, is a heap of timed
events that does nothing but carry as many changes as the pins have: what any event-driven simulator pays at least.
The goals are 10 s and 1 s of one core for the minute.
"""

from __future__ import annotations

import heapq
import time

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.link import LensLink
from m43drivers.simulator.profiles import PROFILES
from m43proto.connection import Connection
from m43proto.ends import PinBody, PinLens, Script
from m43proto.events import PinEvent
from m43proto.messages import PUBLIC, Status
from m43proto.mount import Mount
from m43proto.pins import Role
from m43proto.timing import BodyTiming, LensTiming

FRAMES = 3_600
FRAME_NS = 16_666_667
HOUR_NS = 3_600 * 10**9


def at_the_pins() -> int:
    """Poll for a minute, edge by edge; return how many changes that makes."""

    def script(body: PinBody) -> Script[None]:
        yield from body.power_up()
        for frame in range(FRAMES):
            yield from body.frame_sync(500_000)
            yield from body.pause(1_500_000)
            yield from body.transact(Status.request())
            yield from body.toggle_focus()
            yield from body.pause(max(1, 60_000_000 + (frame + 1) * FRAME_NS - body.now_ns))

    body = PinBody(BodyTiming(), script, PUBLIC.shape_of)
    lens = PinLens(LensTiming(), SimulatedLens(PROFILES["olympus-14-42"]), PUBLIC.shape_of)
    return sum(1 for _ in Mount(body, lens).run(HOUR_NS))


def as_transactions() -> None:
    """Poll for a minute, transaction by transaction."""
    link = LensLink(SimulatedLens(PROFILES["olympus-14-42"]))
    body = Connection(Role.BODY)
    _, now_ns = link.power_up(0)
    body.receive_pin_event(PinEvent.POWER_UP, 0)
    body.receive_pin_event(PinEvent.WAKE_PULSE, now_ns)
    for _ in range(FRAMES):
        said, end_ns = link.transact(body.send(Status.request(), now_ns), now_ns)
        body.receive_data(said, end_ns)
        for _ in body.events():
            pass
        now_ns += FRAME_NS


def as_bare_events(count: int) -> None:
    """Carry so many events through a heap."""
    due = [(0, 0), (1, 1)]
    for _ in range(count):
        at_ns, number = heapq.heappop(due)
        heapq.heappush(due, (at_ns + 500, number))


def main() -> None:
    """Measure and print."""
    began = time.process_time()
    changes = at_the_pins()
    pins_s = time.process_time() - began
    began = time.process_time()
    as_bare_events(changes)
    bare_s = time.process_time() - began
    began = time.process_time()
    as_transactions()
    transactions_s = time.process_time() - began
    print(f"one minute at the pins:       {pins_s:6.2f} s for {changes} changes (goal 10 s)")
    print(f"  beside a bare event heap:   {bare_s:6.2f} s, ratio {pins_s / bare_s:.1f}")
    print(f"one minute as transactions:   {transactions_s:6.2f} s (goal 1 s), ratio {transactions_s / bare_s:.2f}")


if __name__ == "__main__":
    main()
