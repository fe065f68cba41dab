"""A day with a simulated lens, on virtual time: ``python -m tests.benchmarks.soak``.

The lens is polled 60 times a second; every half minute something is driven, every hour a ring is turned. Goals: 24 h in
less than 60 s of wall time, memory as high at the end as after the first hour. Polls that are all alike are counted by
the simulated bridge, as a real one would, and not carried one by one to the driver.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from m43drivers.body import BodyDriver, Life
from m43drivers.transports.sim import SimTransport
from tests.virtualtime import run

HOURS = 24
GOAL_S = 60.0
FRAME_HZ = 60.0
DRIVE_EVERY_S = 30.0


@dataclass(frozen=True)
class Soaked:
    """What came of a soak.

    Attributes:
        polls: how many polls were done.
        drives: how many drives ended where they should.
        rss_mib: resident memory at each full hour, and at the end.
        counters: what the driver counted.
    """

    polls: int
    drives: int
    rss_mib: list[float]
    counters: dict[str, int]


def resident_mib() -> float:
    """Return the resident memory of this process, in MiB; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 / 2**20 if statm.exists() else 0.0


async def soak(hours: float) -> Soaked:
    """Poll and drive a lens for so many hours.

    Raises:
        AssertionError: a drive ended elsewhere, or the lens was lost.
    """
    transport = SimTransport("olympus-14-42")
    driver = BodyDriver(transport, frame_hz=FRAME_HZ)
    lens = await driver.open()
    loop = asyncio.get_running_loop()
    start_s, drives = loop.time(), 0
    rss_mib: list[float] = []
    turn = itertools.cycle((-100, 250, 40, 500))
    stop = itertools.cycle((4.0, 8.0, 5.6, 11.0))
    glass = transport.glass
    assert glass is not None
    while (gone_s := loop.time() - start_s) < hours * 3600:
        if gone_s >= 3600 * (len(rss_mib) + 1):
            rss_mib.append(resident_mib())
            glass.turn_zoom(len(rss_mib) % 32, transport.now_ns())
        if drives % 2:
            ended = await lens.set_aperture(next(stop) * 1.5)
        else:
            ended = await lens.focus_to(next(turn))
        assert ended is not None
        assert ended == lens.status
        drives += 1
        await asyncio.sleep(DRIVE_EVERY_S)
    assert driver.life is Life.READY
    await driver.close()
    return Soaked(driver.counters["polls"], drives, [*rss_mib, resident_mib()], dict(driver.counters))


def main() -> None:
    """Measure and print."""
    start_s = time.perf_counter()
    soaked = run(soak(HOURS))
    wall_s = time.perf_counter() - start_s
    print(f"{HOURS} h of virtual time in {wall_s:.1f} s (goal below {GOAL_S:.0f} s)")
    print(f"{soaked.polls} polls ({soaked.polls / HOURS / 3600:.2f} per second), {soaked.drives} drives")
    print(f"resident memory: {soaked.rss_mib[0]:.1f} MiB after 1 h, {soaked.rss_mib[-1]:.1f} MiB after {HOURS} h")
    print(f"counters: {soaked.counters}")


if __name__ == "__main__":
    main()
