"""The grammar of a transaction: whose turn it is and what comes next (specs/3-framing.md).

`TURNS` and `AFTER_COMMAND` are blind to who asks: a body, a lens and an observer hold the same table.
"""

from __future__ import annotations

from enum import StrEnum

from m43proto.pins import Role
from m43proto.records import record
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, Shape

__all__ = ["AFTER_COMMAND", "TURNS", "Phase", "Turn"]


class Phase(StrEnum):
    """Where in a transaction the bus is."""

    IDLE = "idle"
    COMMAND = "command"
    COMMAND_SUM = "command sum"
    STATUS = "status"
    READ_LENGTH = "read length"
    READ_DATA = "read data"
    READ_SUM = "read sum"
    WRITE_LENGTH = "write length"
    WRITE_DATA = "write data"
    WRITE_SUM = "write sum"


@record(frozen=True, slots=True)
class Turn:
    """Whose turn it is in a phase.

    Attributes:
        sender: who drives DATA.
        size: how many bytes; None when the length word says so.
        then: the phase that follows; None when the shape decides.
    """

    sender: Role
    size: int | None
    then: Phase | None


# fmt: off
TURNS: dict[Phase, Turn] = {
    Phase.COMMAND:      Turn(Role.BODY, COMMAND_SIZE, Phase.COMMAND_SUM),
    Phase.COMMAND_SUM:  Turn(Role.LENS, 1,            None),
    Phase.STATUS:       Turn(Role.LENS, 1,            Phase.IDLE),
    Phase.READ_LENGTH:  Turn(Role.LENS, LENGTH_SIZE,  Phase.READ_DATA),
    Phase.READ_DATA:    Turn(Role.LENS, None,         Phase.READ_SUM),
    Phase.READ_SUM:     Turn(Role.LENS, 1,            Phase.IDLE),
    Phase.WRITE_LENGTH: Turn(Role.BODY, LENGTH_SIZE,  Phase.WRITE_DATA),
    Phase.WRITE_DATA:   Turn(Role.BODY, None,         Phase.WRITE_SUM),
    Phase.WRITE_SUM:    Turn(Role.LENS, 1,            Phase.IDLE),
}

AFTER_COMMAND: dict[Shape, Phase] = {
    Shape.SET:      Phase.IDLE,
    Shape.COMPLETE: Phase.STATUS,
    Shape.READ:     Phase.READ_LENGTH,
    Shape.WRITE:    Phase.WRITE_LENGTH,
}
# fmt: on
