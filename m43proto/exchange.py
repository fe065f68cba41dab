"""Transactions byte by byte, for an end that takes part: what to say, and what to wait for (specs/3-framing.md).

Both ends walk `m43proto.turns` with the same `Draft` that the observer holds; only who speaks first differs. Nothing
here knows pins or clocks: bytes of the other end go in, bytes of this end come out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.checksum import wire_sum
from m43proto.drafts import Draft
from m43proto.events import ByteSeen, Cause, RequestSeen, TransactionSeen, Violation
from m43proto.framing import NO_ROOM
from m43proto.pins import Role
from m43proto.records import record
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, SHAPES, Shape
from m43proto.turns import AFTER_COMMAND, TURNS, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43proto.catalogue import Catalogue

__all__ = ["BodyExchange", "LensExchange", "Transfer", "block_with_length", "transfers_of"]


@record(frozen=True, slots=True)
class Transfer:
    """One turn of a transaction, for a transport that carries whole transactions.

    Attributes:
        phase: which turn.
        sender: who drives DATA.
        data: what the body says; empty when the lens speaks.
        size: how many bytes to clock; None where the length word before it says so.
    """

    phase: Phase
    sender: Role
    data: bytes
    size: int | None


def block_with_length(data: bytes) -> bytes:
    """Return a block as it goes over the wire: its length word, which counts the sum too, and its data."""
    return (len(data) + 1).to_bytes(LENGTH_SIZE, "little") + data


def transfers_of(command: bytes, shape: Shape, data: bytes = b"") -> Iterator[Transfer]:
    """Yield the turns of a transaction in their order."""
    block = block_with_length(data)
    ours = {Phase.COMMAND: command, Phase.WRITE_LENGTH: block[:LENGTH_SIZE], Phase.WRITE_DATA: data}
    phase = Phase.COMMAND
    while phase is not Phase.IDLE:
        turn = TURNS[phase]
        said = ours.get(phase, b"")
        yield Transfer(phase, turn.sender, said, len(said) if turn.sender is Role.BODY else turn.size)
        phase = turn.then or AFTER_COMMAND[shape]


class BodyExchange:
    """The body's side of one transaction.

    Args:
        command: the four command bytes.
        shape: what follows them.
        data: the data that it writes, for shape write.
        now_ns: when it begins.

    Attributes:
        out: what the body has to say and has not been fetched yet.
    """

    def __init__(self, command: bytes, shape: Shape, data: bytes, now_ns: int) -> None:
        self._draft = Draft(command, shape)
        self._data = data
        self.out = bytearray()
        self._say(command, now_ns)

    @property
    def open(self) -> bool:
        """Whether the transaction goes on."""
        return self._draft.phase is not Phase.IDLE

    @property
    def phase(self) -> Phase:
        """What is due now."""
        return self._draft.phase

    @property
    def heard(self) -> bool:
        """Whether the lens has said anything."""
        return Phase.COMMAND_SUM in self._draft.parts

    def take(self, data: bytes, now_ns: int) -> bytes:
        """Take bytes of the lens; return those behind the end of the transaction.

        Raises:
            ValueError: the block that the lens announces has no room for its sum.
        """
        draft = self._draft
        while data and self.open:
            missing = draft.wanted - draft.held
            part, data = data[:missing], data[missing:]
            draft.wire += [ByteSeen(now_ns, now_ns, Role.LENS, value) for value in part]
            draft.put(part)
            if len(part) < missing:
                break
            draft.advance()
            if draft.phase is Phase.WRITE_LENGTH:
                self._write(now_ns)
            if self._has_no_room():
                raise ValueError(NO_ROOM)
        return data

    def seen(self) -> TransactionSeen:
        """Return the transaction as far as it has come."""
        return self._draft.seen(complete=not self.open)

    def _has_no_room(self) -> bool:
        return self.open and self._draft.wanted < 0

    def _write(self, now_ns: int) -> None:
        block = block_with_length(self._data)
        self._draft.put(block[:LENGTH_SIZE])
        self._draft.advance()
        if self._data:
            self._draft.put(self._data)
            self._draft.advance()
        self._say(block, now_ns)

    def _say(self, values: bytes, now_ns: int) -> None:
        self.out += values
        self._draft.wire += [ByteSeen(now_ns, now_ns, Role.BODY, value) for value in values]


class LensExchange:
    """The lens's side of one transaction after the other.

    Args:
        catalogue: the messages that it knows.

    Attributes:
        out: what the lens has to say and has not been fetched yet.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.out = bytearray()
        self._heard = bytearray()
        self._draft: Draft | None = None
        self._wire: list[ByteSeen] = []

    @property
    def open(self) -> bool:
        """Whether the body has begun a command, or is due to write a block."""
        return bool(self._heard) or (self._draft is not None and TURNS[self._draft.phase].sender is Role.BODY)

    @property
    def asked(self) -> Draft | None:
        """The transaction that the lens has still to answer, or None."""
        draft = self._draft
        return draft if draft is not None and TURNS[draft.phase].sender is Role.LENS else None

    def take(self, value: int, now_ns: int) -> RequestSeen | TransactionSeen | Violation | None:
        """Take a byte of the body; return what it completes."""
        if self.asked is not None:
            return Violation(now_ns, now_ns, Cause.OUT_OF_TURN, "the body spoke in the lens's turn", bytes([value]))
        self._heard.append(value)
        self._wire.append(ByteSeen(now_ns, now_ns, Role.BODY, value))
        return self._take_block(self._draft, now_ns) if self._draft else self._take_command(now_ns)

    def answer(self, said: bytes, now_ns: int) -> TransactionSeen:
        """Say what was asked for: a block's data, or a status byte; return the transaction.

        Raises:
            ValueError: nothing was asked, or a status has not one byte.
        """
        draft = self.asked
        if draft is None:
            raise ValueError("the body has asked nothing")
        if draft.phase is Phase.STATUS:
            if len(said) != 1:
                raise ValueError(f"a status has one byte, not {len(said)}")
            self._say(draft, said, now_ns)
        else:
            block = block_with_length(said)
            for part in (block[:LENGTH_SIZE], said, bytes([wire_sum(said)])):
                self._say(draft, part, now_ns)
        return self._done(draft)

    def drop(self) -> bytes:
        """Forget what has begun; return the bytes that have come of it."""
        heard = bytes(byte.value for byte in self._wire)
        self._reset()
        return heard

    def _take_command(self, now_ns: int) -> RequestSeen | TransactionSeen | Violation | None:
        if len(self._heard) < COMMAND_SIZE:
            return None
        command = bytes(self._heard)
        shape = self._catalogue.shape_of(command)
        self.out.append(wire_sum(command))
        if shape is None:
            self._reset()
            detail = f"{command.hex(' ')} announces no known shape"
            return Violation(now_ns, now_ns, Cause.UNKNOWN_SHAPE, detail, command)
        self._heard.clear()
        self._draft = draft = Draft(command, shape, wire=self._wire)
        self._note(draft, bytes([wire_sum(command)]), now_ns)
        if draft.phase is Phase.IDLE:
            return self._done(draft)
        if SHAPES[shape].block_sender is Role.BODY:
            return None
        return RequestSeen(now_ns, command, shape, self._catalogue.find(command))

    def _take_block(self, draft: Draft, now_ns: int) -> TransactionSeen | Violation | None:
        draft.put(bytes([self._heard.pop()]))
        if draft.held < draft.wanted:
            return None
        draft.advance()
        if draft.wanted < 0:
            return Violation(now_ns, now_ns, Cause.BLOCK_LENGTH, NO_ROOM, self.drop())
        if draft.phase is not Phase.WRITE_SUM:
            return None
        self._say(draft, bytes([wire_sum(draft.data)]), now_ns)
        return self._done(draft)

    def _say(self, draft: Draft, values: bytes, now_ns: int) -> None:
        if values:
            self.out += values
            self._note(draft, values, now_ns)

    def _note(self, draft: Draft, values: bytes, now_ns: int) -> None:
        draft.wire += [ByteSeen(now_ns, now_ns, Role.LENS, value) for value in values]
        draft.put(values)
        draft.advance()

    def _done(self, draft: Draft) -> TransactionSeen:
        self._reset()
        return draft.seen(complete=True)

    def _reset(self) -> None:
        self._heard.clear()
        self._draft = None
        self._wire = []
