"""What a simulated body has seen, told to a person in a line and to programs as JSON lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from m43tools.output import open_output
from m43tools.render.records import record_of

if TYPE_CHECKING:
    from pathlib import Path

    from m43drivers.simulator.body import SimulatedBody

__all__ = ["told", "write_log"]


def told(body: SimulatedBody) -> str:
    """Return in one line what came of a script."""
    failed = sum(not outcome.ok for outcome in body.outcomes)
    parts = [f"{_count(len(body.outcomes), 'transaction')}, {failed} failed"]
    if not all(body.wake_pulses):
        parts.append(f"{_count(body.wake_pulses.count(False), 'power-up')} without a wake pulse")
    if body.overruns:
        parts.append(f"{_count(body.overruns, 'frame')} skipped")
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def write_log(body: SimulatedBody, path: Path) -> None:
    """Write a JSON line for each transaction of the body.

    Keys: ``t_ns`` (when the body began), ``command`` (hex), ``ok``, and ``seen``: null when the lens never answered,
    else the record that ``m43 sniff --layer transactions`` writes.

    Raises:
        OutputError: it cannot be written.
    """
    with open_output(path) as stream:
        for outcome in body.outcomes:
            record = {
                "t_ns": outcome.t_ns,
                "command": outcome.command.hex(),
                "ok": outcome.ok,
                "seen": None if outcome.seen is None else record_of(outcome.seen),
            }
            stream.write(json.dumps(record) + "\n")
