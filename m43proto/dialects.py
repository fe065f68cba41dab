"""How bodies start a lens and poll it: the commands of each that is known (specs/4-session.md §4.3)."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from m43proto.evidence import Evidence
from m43proto.messages import (
    BodyCapability,
    EnableDrive,
    Identify,
    Initialise,
    LinkCapability,
    SelectLinkMode,
    SetFocusRing,
    Status,
)
from m43proto.records import record
from m43proto.session import START_UP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m43proto.schema import Message

__all__ = ["DIALECTS", "Dialect", "Step"]


@record(frozen=True, slots=True)
class Step:
    """One step of the start-up.

    Attributes:
        request: the message that the body sends.
        command: its command.
        block: the data that it writes.
        clock_hold: whether the body holds CLK low behind it.
        evidence: how sure the step is.
        source: citation.
    """

    request: type[Message]
    command: bytes
    block: bytes
    evidence: Evidence
    source: str
    clock_hold: bool = False


@record(frozen=True, slots=True)
class Dialect:
    """How a body starts a lens and polls it.

    Attributes:
        name: what users call it.
        steps: its start-up, in order.
        poll: the command of its status message.
        doc: what is known of it.
    """

    name: str
    steps: tuple[Step, ...]
    poll: bytes
    doc: str


@record(frozen=True, slots=True)
class _Row:
    """What of a step is not in `START_UP`: arguments without a default, what it writes, who showed it."""

    source: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    block: bytes = b""
    clock_hold: bool = False


def _dialect(name: str, status_format: int, capability: str, doc: str) -> Dialect:
    rows: dict[type[Message], _Row] = {
        Initialise: _Row("BELL"),
        LinkCapability: _Row("BELL"),
        SelectLinkMode: _Row("BELL, BELL@ad79dd2", clock_hold=True),
        Identify: _Row("BELL"),
        BodyCapability: _Row("BELL@f7123ba, BELL@0b15280", block=bytes.fromhex(capability)),
        Status: _Row("BELL@046255c", {"format": bytes([status_format])}),
        SetFocusRing: _Row("BELL@0b15280", {"ring_direction": "forward"}),
        EnableDrive: _Row("BELL@0b15280"),
    }
    steps = tuple(_step(request, rows[request]) for request in START_UP)
    return Dialect(name, steps, Status.request(**rows[Status].arguments), doc)


def _step(request: type[Message], row: _Row) -> Step:
    command = request.request(**row.arguments)
    return Step(request, command, row.block, Evidence.CONFIRMED, row.source, row.clock_hold)


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        _dialect("E-P1", 0x02, "00d10002", "status form 02; the data of 60 F0 are on record beside it (inferred)"),
        _dialect(
            "E-PL1", 0x06, "00000000", "status form 06; which data of 60 F0 belong to it is unknown, zeros are accepted"
        ),
    )
}
"""The two ways in which bodies are known to start a lens; the order is the same (specs/4-session.md §4.3)."""
