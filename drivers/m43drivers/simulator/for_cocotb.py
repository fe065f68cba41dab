"""One end in lockstep with a design under test, by cocotb 2.0 or later (`pip install cocotb`).

The design and the end meet in the module `m43_end` of tools/hdl/m43_end.v::

    lens = coupled(PinLens(LensTiming(), SimulatedLens(PROFILES["olympus-45"]), PUBLIC.shape_of))
    cocotb.start_soon(play(lens, dut.lens))
    cocotb.start_soon(watch(connection.receive_levels, dut.lens))

Nothing polls: both tasks sleep until a line changes or the end is to act by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cocotb import simtime
from cocotb.triggers import First, ReadOnly, ReadWrite, Timer

from m43drivers.simulator.cosim import Coupling, levels_of, steps_per_ns
from m43drivers.simulator.lockstep import Lockstep

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.ends import PinEnd

__all__ = ["coupled", "play", "watch"]


def coupled(end: PinEnd) -> Coupling:
    """Return an end, ready to `play` from now on.

    Raises:
        LockstepError: the simulator counts its time in steps of more than a nanosecond.
    """
    return Coupling(Lockstep(end), steps_per_ns(simtime.time_precision), simtime.get_sim_time())


async def play(coupling: Coupling, place: Any) -> None:
    """Play an end for as long as the simulation runs; start it as a task.

    Args:
        coupling: the end.
        place: the handle of the `m43_end` whose place it takes.
    """
    while True:
        await ReadWrite()  # all that the design changes at this time has changed, and lines can still be driven
        drive = coupling.step(simtime.get_sim_time(), str(place.lines.value))
        place.level.value = drive.level
        place.driven.value = drive.driven
        change = place.lines.value_change
        await (change if drive.wait_steps is None else First(change, Timer(drive.wait_steps, "step")))


async def watch(receive: Callable[[int, int], object], place: Any) -> None:
    """Tell an observer what is on the lines, for as long as the simulation runs; start it as a task.

    Args:
        receive: takes the time in nanoseconds and the levels, as `m43proto.Connection.receive_levels` does: first those
            at the beginning, then every change.
        place: the handle of an `m43_end`.
    """
    per_ns = steps_per_ns(simtime.time_precision)
    while True:
        await ReadOnly()  # nothing changes any more at this time
        receive(simtime.get_sim_time() // per_ns, levels_of(str(place.lines.value)))
        await place.lines.value_change
