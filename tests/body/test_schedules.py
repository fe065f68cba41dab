"""A hundred random schedules; ``python -m tests.body.schedules`` runs ten thousand, or one again by its seed."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

import pytest

from m43drivers.body import BodyDriver, LensStatus
from m43drivers.body.bus import Bus
from m43drivers.body.jobs import Job
from m43drivers.simulator.faults import FAULTS
from m43proto.messages import Status
from tests.body import schedules
from tests.body.schedules import CALLS, Schedule, Witness
from tests.virtualtime import DeadlockError


def test_a_hundred_schedules() -> None:
    first = int(os.environ.get("M43_SEED", random.SystemRandom().randrange(2**32)))
    print(f"M43_SEED={first}")
    accepted, ended = 0, Counter[str]()
    for seed in range(first, first + 100):
        print(f"python -m tests.body.schedules --seed {seed}")
        schedule = Schedule(seed)
        accepted += schedule.run().accepted
        ended.update(schedule.ended)
    assert accepted > 500
    assert {"done", "cancelled"} <= set(ended)
    assert sum(count for name, count in ended.items() if name.endswith("Error")) > 20


def test_a_seed_fixes_a_schedule() -> None:
    one, other = Schedule(11), Schedule(11)
    assert one.run().accepted == other.run().accepted
    assert one.tale == other.tale
    assert one.ended == other.ended


def test_every_fault_and_every_call_comes_up() -> None:
    tales = []
    for seed in range(3_000):
        rng = random.Random(seed)
        tales.append(schedules.sim_address(rng, pins=True))
    assert all(any(f"fault={name}" in tale for tale in tales) for name in FAULTS)
    rng = random.Random(0)
    assert {rng.choice(list(CALLS)) for _ in range(500)} == set(CALLS)


def one_fails(count: int) -> bool:
    """Tell whether one of so many schedules fails."""
    try:
        for seed in range(count):
            Schedule(seed).run()
    except (AssertionError, Exception, asyncio.CancelledError):
        return True
    return False


def test_a_driver_that_takes_wrong_sums_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(bus: Bus, command: bytes, data: bytes, outcome: object) -> object:
        bus._connection.receive_transaction(command, data, outcome.said, outcome.start_ns, outcome.end_ns)  # type: ignore[attr-defined]
        seen = bus._drain()
        return seen if seen is not None and seen.transaction.complete else None

    monkeypatch.setattr(Bus, "take", take)
    assert one_fails(60)


def test_a_driver_that_does_not_repair_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyDriver, "_repair", lambda driver, reason: None)
    assert one_fails(10)


def test_a_driver_that_forgets_a_caller_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "fail", lambda job, error: None)
    assert one_fails(10)


def test_a_witness_knows_what_was_not_said() -> None:
    witness = Witness()
    block = bytes(30)
    status = LensStatus.of(Status.parse(bytes.fromhex("0106") + block), 1_000_000_000)
    for at_ns, said in ((1_000_000_000 - 2_000_000, block), (1, block), (1_000_000_000 - 1, bytes(29) + b"\1")):
        witness.said = [(at_ns, said)]
        witness.accept(status)
    assert len(witness.wrong) == 2


def test_the_command_tells_which_seeds_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schedules.main(["--count", "2"]) == 0
    assert "2 schedules, 0 failed" in capsys.readouterr().out
    assert schedules.main(["--seed", "5"]) == 0
    assert "1 schedules, 0 failed" in capsys.readouterr().out

    async def hang(schedule: Schedule, *_: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Schedule, "_live", hang)
    assert schedules.main(["--count", "3"]) == 1
    told = capsys.readouterr().out
    assert "--seed 2: DeadlockError" in told
    assert "3 schedules, 3 failed" in told
    with pytest.raises(DeadlockError):
        schedules.main(["--seed", "2"])
