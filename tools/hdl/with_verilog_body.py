"""A simulated lens against the Verilog body of m43_body.v: the body reads the status, and an observer listens."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from m43drivers.simulator.for_cocotb import coupled, play, watch
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.profiles import PROFILES
from m43proto.connection import Connection
from m43proto.ends import PinLens
from m43proto.events import MessageSeen, TransactionSeen, Violation
from m43proto.messages import PUBLIC
from m43proto.timing import LENS_TIMINGS


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def the_body_reads_the_status(dut: Any) -> None:
    """The Verilog body and the observer take the same block from the wire, and it is the status of the lens."""
    glass = SimulatedLens(PROFILES["olympus-14-42"])
    lens = coupled(PinLens(LENS_TIMINGS["bell_lens"], glass, PUBLIC.shape_of))
    connection = Connection()
    cocotb.start_soon(play(lens, dut.lens))
    cocotb.start_soon(watch(connection.receive_levels, dut.lens))

    await RisingEdge(dut.body.done)

    events = list(connection.events())
    status = glass.status(0)
    held = bytes(int(dut.body.block[place].value) for place in range(int(dut.body.length.value) - 1))
    [seen] = [event for event in events if isinstance(event, TransactionSeen)]
    [message] = [event for event in events if isinstance(event, MessageSeen)]
    cocotb.log.info("the body holds %s", held.hex())
    assert held == seen.data == status.block
    assert message.message == status
    assert seen.complete
    assert seen.sums_ok
    assert dut.body.sums_ok.value == 1
    assert [event for event in events if isinstance(event, Violation)] == []
    assert lens.unclear == []
