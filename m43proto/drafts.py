"""What the framer holds: the transaction at hand, and traffic that fits nowhere (specs/3-framing.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m43proto.events import ByteSeen, Cause, TransactionSeen
from m43proto.shapes import LENGTH_SIZE, Shape
from m43proto.turns import AFTER_COMMAND, TURNS, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Draft", "Lost"]


@dataclass(slots=True)
class Draft:
    """The transaction at hand.

    Attributes:
        command: its four command bytes.
        shape: what follows them.
        phase: what is due now.
        parts: the bytes of each phase behind the command.
        wire: all its bytes with their times.
        busy_ns: how long the lens was busy, once it was.
    """

    command: bytes
    shape: Shape
    phase: Phase = Phase.COMMAND_SUM
    parts: dict[Phase, bytearray] = field(default_factory=dict)
    wire: list[ByteSeen] = field(default_factory=list)
    busy_ns: int | None = None

    @property
    def length(self) -> int | None:
        """The length word, once it is whole."""
        word = self.parts.get(Phase.READ_LENGTH, b"") or self.parts.get(Phase.WRITE_LENGTH, b"")
        return int.from_bytes(word, "little") if len(word) == LENGTH_SIZE else None

    @property
    def data(self) -> bytes:
        """The data of the block, as far as it has come."""
        return bytes(self.parts.get(Phase.READ_DATA, b"") or self.parts.get(Phase.WRITE_DATA, b""))

    @property
    def wanted(self) -> int:
        """How many bytes the present phase takes in all."""
        size = TURNS[self.phase].size
        return size if size is not None else (self.length or 0) - 1

    @property
    def held(self) -> int:
        """How many bytes the present phase has."""
        return len(self.parts.get(self.phase, b""))

    def put(self, value: bytes) -> None:
        """Add bytes to the present phase."""
        self.parts.setdefault(self.phase, bytearray()).extend(value)

    def advance(self) -> None:
        """Leave the present phase, and a phase of data that is empty."""
        self.phase = TURNS[self.phase].then or AFTER_COMMAND[self.shape]
        if self.phase is not Phase.IDLE and self.wanted == 0:
            self.advance()

    def sum_of(self, *phases: Phase) -> int | None:
        """Return the byte of the first of these phases that has one, or None."""
        return next((self.parts[phase][0] for phase in phases if phase in self.parts), None)

    def seen(self, *, complete: bool) -> TransactionSeen:
        """Return it as an event."""
        return TransactionSeen(
            t_ns=self.wire[0].t_ns,
            end_ns=self.wire[-1].end_ns,
            command=self.command,
            shape=self.shape,
            command_sum=self.sum_of(Phase.COMMAND_SUM),
            length=self.length,
            data=self.data,
            data_sum=self.sum_of(Phase.READ_SUM, Phase.WRITE_SUM),
            status=self.sum_of(Phase.STATUS),
            complete=complete,
            busy_ns=self.busy_ns,
            wire=tuple(self.wire),
        )


@dataclass(slots=True)
class Lost:
    """Traffic that fits nowhere, up to the next command.

    Attributes:
        cause: why the first of it does not fit.
        detail: the figures to that.
        t_ns: its start.
        end_ns: its end.
        data: its bytes.
    """

    cause: Cause
    detail: str
    t_ns: int
    end_ns: int
    data: bytearray = field(default_factory=bytearray)

    def add(self, wire: Sequence[ByteSeen]) -> None:
        """Take more bytes that fit nowhere."""
        self.data.extend(byte.value for byte in wire)
        self.stretch(wire[0].t_ns, wire[-1].end_ns)

    def stretch(self, t_ns: int, end_ns: int) -> None:
        """Widen the span."""
        self.t_ns = min(self.t_ns, t_ns)
        self.end_ns = max(self.end_ns, end_ns)
