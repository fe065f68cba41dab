"""Whole transactions between a body and a simulated lens, without pins: what they say, and how long it takes.

The lens's side is the engine itself, a `Connection` of role lens, over the same `Glass` that stands behind the pins. A
transaction takes as long as it takes at the pins with the same steady timings; a test holds the two to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.connection import Connection
from m43proto.ends import Answer
from m43proto.events import PinEvent, RequestSeen, TransactionSeen
from m43proto.messages import PUBLIC
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Role
from m43proto.shapes import LENGTH_SIZE, SHAPES, Shape
from m43proto.timing import BodyTiming, LensTiming
from m43proto.turns import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43proto.catalogue import Catalogue
    from m43proto.ends import Glass
    from m43proto.exchange import Transfer

__all__ = ["LensLink", "duration_ns"]


class LensLink:
    """A lens at the other end of whole transactions.

    Args:
        glass: what the lens answers.
        catalogue: the messages that it knows.
        body: the delays of the body.
        lens: the delays of the lens.

    Attributes:
        connection: the lens's engine.
    """

    def __init__(
        self,
        glass: Glass,
        *,
        catalogue: Catalogue = PUBLIC,
        body: BodyTiming | None = None,
        lens: LensTiming | None = None,
    ) -> None:
        self.connection = Connection(Role.LENS, catalogue=catalogue)
        self._glass = glass
        self._body = body or BodyTiming()
        self._lens = lens or LensTiming()

    def power_up(self, now_ns: int) -> tuple[int, int]:
        """Raise SLEEP; return when the wake pulse has ended, and when the first command may be sent."""
        self.connection.receive_pin_event(PinEvent.POWER_UP, now_ns)
        pulse_ns = now_ns + self._body.attention_ns + self._lens.wake_ns + self._lens.wake_width_ns
        self.connection.receive_pin_event(PinEvent.WAKE_PULSE, pulse_ns)
        return pulse_ns, pulse_ns + self._body.wake_seen_ns + self._body.first_command_ns

    def power_down(self, now_ns: int) -> None:
        """Let SLEEP fall."""
        self.connection.receive_pin_event(PinEvent.POWER_DOWN, now_ns)

    def transact(self, transfers: Sequence[Transfer], now_ns: int) -> tuple[bytes, int]:
        """Carry out one transaction.

        Args:
            transfers: its turns, as `Connection.send` of the body gives them.
            now_ns: when the body begins.

        Returns:
            all that the lens said, and when the transaction has ended (ns).
        """
        connection = self.connection
        said = b""
        answer = Answer()
        for transfer in transfers:
            if transfer.sender is Role.LENS:
                continue
            connection.receive_data(transfer.data, now_ns)
            if transfer.phase is Phase.COMMAND:
                answer = self._glass.answer(transfer.data, now_ns)
            for event in connection.events():
                if isinstance(event, RequestSeen):
                    connection.send(bytes([answer.status]) if event.shape is Shape.COMPLETE else answer.block, now_ns)
                elif isinstance(event, TransactionSeen) and event.shape is Shape.WRITE:
                    self._glass.take(event.command, event.data, now_ns)
            said += connection.data_to_send()
        first = transfers[0].data
        shape = connection.catalogue.shape_of(first)
        assert shape is not None
        size = sum(len(one.data) for one in transfers[1:]) or len(said) - 1
        end_ns = now_ns + duration_ns(shape, size, self._body, self._lens, busy_ns=answer.busy_ns)
        return _with_errors(said, shape, answer), end_ns


def _with_errors(said: bytes, shape: Shape, answer: Answer) -> bytes:
    """Return what a lens says that cannot reckon, instead of what the engine says."""
    bent = bytearray(said)
    bent[0] = (bent[0] + answer.command_sum_error) & 0xFF
    if SHAPES[shape].block_sender is not None:
        bent[-1] = (bent[-1] + answer.data_sum_error) & 0xFF
    if SHAPES[shape].block_sender is Role.LENS:
        length = int.from_bytes(said[1 : 1 + LENGTH_SIZE], "little") + answer.length_error
        bent[1 : 1 + LENGTH_SIZE] = (length & 0xFFFF).to_bytes(LENGTH_SIZE, "little")
    return bytes(bent)


def duration_ns(shape: Shape, size: int, body: BodyTiming, lens: LensTiming, *, busy_ns: int = 0) -> int:
    """Return how long a transaction takes, from BODY_ACK's rise to LENS_ACK's last fall.

    Args:
        shape: what follows the command.
        size: bytes that follow the sum of the command: of the block with its length, and its sum where the lens sends
            it.
        body: steady delays of the body.
        lens: steady delays of the lens.
        busy_ns: how long the lens works, for shape complete.
    """
    heard = _heard_ns(body, lens)
    whole = _spoken_ns(4, body, lens) + lens.sum_ns + heard
    if shape is Shape.COMPLETE:
        work = body.complete_ns + lens.answer_ns + max(busy_ns, lens.ack_width_ns) + body.complete_ns
        return whole + work + lens.sum_ns + heard
    if SHAPES[shape].block_sender is Role.LENS:
        return whole + size * (lens.reply_ns + heard)
    if SHAPES[shape].block_sender is Role.BODY:
        return whole + body.block_ns + _spoken_ns(size, body, lens) + lens.sum_ns + heard
    return whole


def _spoken_ns(count: int, body: BodyTiming, lens: LensTiming) -> int:
    """Return how long a turn of the body takes, until BODY_ACK falls."""
    byte_ns = _byte_ns(body.write_low_ns, body.write_high_ns)
    acked_ns = max(lens.ack_ns + lens.ack_width_ns, body.write_high_ns) + body.ready_ns
    gap_ns = acked_ns if body.watches_acks else max(body.byte_ns, body.write_high_ns + 1)
    last_ns = max(body.hand_over_ns, body.write_high_ns + 1, lens.ack_ns)
    return lens.answer_ns + body.ready_ns + count * byte_ns + (count - 1) * gap_ns + last_ns


def _heard_ns(body: BodyTiming, lens: LensTiming) -> int:
    """Return how long a byte of the lens takes, from LENS_ACK's rise to its fall."""
    byte_ns = _byte_ns(body.read_low_ns, body.read_high_ns)
    return body.take_over_ns + body.read_ns + byte_ns + body.done_ns + lens.release_ns


def _byte_ns(low_ns: int, high_ns: int) -> int:
    return BITS_PER_BYTE * (low_ns + high_ns) - high_ns
