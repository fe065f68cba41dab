"""A simulated body against the Verilog lens of m43_lens.v: the body sets and polls, and an observer listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cocotb
from cocotb.triggers import Event

from m43drivers.simulator.for_cocotb import coupled, play, watch
from m43proto.connection import Connection
from m43proto.ends import PinBody, Script
from m43proto.events import MessageSeen, TransactionSeen, Violation
from m43proto.messages import PUBLIC, SelectLinkMode, Status
from m43proto.timing import BODY_TIMINGS

if TYPE_CHECKING:
    from m43proto.events import Event as Seen


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def the_lens_answers(dut: Any) -> None:
    """The body and the observer agree on what the Verilog lens said: right sums, and a status."""
    results: list[TransactionSeen | None] = []
    awake: list[bool] = []
    finished = Event()

    def script(body: PinBody) -> Script[None]:
        awake.append((yield from body.power_up()))
        for command in (SelectLinkMode.request(), Status.request(), Status.request()):
            results.append((yield from body.transact(command)))
            yield from body.pause(1_000_000)
        finished.set()

    body = coupled(PinBody(BODY_TIMINGS["bell_body"], script, PUBLIC.shape_of))
    connection = Connection()
    cocotb.start_soon(play(body, dut.body))
    cocotb.start_soon(watch(connection.receive_levels, dut.body))

    await finished.wait()

    events: list[Seen] = list(connection.events())
    seen = [event for event in events if isinstance(event, TransactionSeen)]
    named = [event.name for event in events if isinstance(event, MessageSeen)]
    for one in seen:
        cocotb.log.info("the lens said %s to %s", one.data.hex() or "nothing", one.command.hex())
    assert awake == [True]
    assert seen == results
    assert named == ["SelectLinkMode", "Status", "Status"]
    assert all(one.complete and one.sums_ok for one in seen)
    assert [event for event in events if isinstance(event, Violation)] == []
    assert body.unclear == []
