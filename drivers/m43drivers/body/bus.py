"""Transactions over a transport, by the rules of the session's engine: what may be said, and what came of it.

The engine (`m43proto.connection`) holds the state of the session and judges every transaction, whoever began it: the
driver, or the transport by itself when it polls.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from m43drivers.body.errors import LensRefusedError
from m43drivers.transport import Break
from m43proto.connection import Connection
from m43proto.errors import LocalProtocolError
from m43proto.events import MessageSeen, PinEvent, TransactionSeen, Violation
from m43proto.exchange import transfers_of
from m43proto.pins import Role

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from m43drivers.transport import Outcome, Transport
    from m43proto.catalogue import Catalogue
    from m43proto.schema import Message
    from m43proto.states import State

__all__ = ["TRIES", "Bus", "TroubleError"]

_log = logging.getLogger(__name__)

TRIES = 3
"""How often a transaction that goes wrong is tried before the lens is started anew: a wrong sum is retried twice."""


class TroubleError(Exception):
    """A transaction went wrong as often as it was tried; the driver starts the lens anew, and tells users otherwise."""


class Bus:
    """One body's side of the mount, in whole transactions.

    Args:
        transport: what carries them.
        catalogue: the messages to know.
        counters: where to count what goes wrong, by cause.
        noticed: called when the state of the session may have changed.
    """

    def __init__(
        self, transport: Transport, catalogue: Catalogue, counters: Counter[str], noticed: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._catalogue = catalogue
        self._counters = counters
        self._noticed = noticed
        self._connection = Connection(Role.BODY, catalogue=catalogue)

    @property
    def state(self) -> State:
        """The state of the session."""
        return self._connection.states[Role.BODY]

    async def power_up(self) -> bool:
        """Raise SLEEP; return whether the lens gave its wake pulse."""
        transport, connection = self._transport, self._connection
        connection.receive_pin_event(PinEvent.POWER_UP, transport.now_ns())
        self._drain()
        woke = await transport.power(on=True)
        if woke:
            connection.receive_pin_event(PinEvent.WAKE_PULSE, transport.now_ns())
        else:
            now_ns = transport.now_ns()
            connection.handle_timeout(max(now_ns, connection.next_timeout() or now_ns))
        self._drain()
        return woke

    async def power_down(self) -> None:
        """Drop SLEEP."""
        await self._transport.power(on=False)
        self._connection.receive_pin_event(PinEvent.POWER_DOWN, self._transport.now_ns())
        self._drain()

    def give_up(self) -> None:
        """Give the lens up; only dropping SLEEP leads out."""
        self._connection.give_up(self._transport.now_ns())
        self._drain()

    async def transact(self, command: bytes, data: bytes = b"", *, message: Message | None = None) -> MessageSeen:
        """Carry out a transaction, and again when it goes wrong; return what the lens said.

        A lens that is busy for ever is not asked again: it would not listen.

        Args:
            command: its command, of a known shape.
            data: what to write behind it.
            message: what command and data were made from, if anything.

        Raises:
            LensRefusedError: it has no place in the session as it stands; nothing was sent.
            TroubleError: it went wrong as often as it was tried.
            TransportError: the transport failed.
        """
        shape = self._catalogue.shape_of(command)
        assert shape is not None
        reason = ""
        for _ in range(TRIES):
            try:
                self._connection.check(message or command)
            except LocalProtocolError as error:
                if reason:
                    break
                raise LensRefusedError(str(error)) from None
            outcome = await self._transport.transact(tuple(transfers_of(command, shape, data)))
            seen = self._taken(command, data, outcome)
            if seen is not None:
                return seen
            reason = self.blame(command, outcome)
            if outcome.broke_off is Break.BUSY:
                break
        raise TroubleError(reason)

    def _taken(self, command: bytes, data: bytes, outcome: Outcome) -> MessageSeen | None:
        """Take an outcome; it has no place any more when a poll has told meanwhile that the lens is gone."""
        try:
            return self.take(command, data, outcome)
        except LocalProtocolError as error:
            raise TroubleError(str(error)) from None

    def take(self, command: bytes, data: bytes, outcome: Outcome) -> MessageSeen | None:
        """Give the engine a transaction that has been carried out; return what the lens said, or None if it went wrong.

        Raises:
            LocalProtocolError: it has no place in the session as it stands.
        """
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s: %s", self._transport.url, _shown(command, data, outcome))
        self._connection.receive_transaction(command, data, outcome.said, outcome.start_ns, outcome.end_ns)
        seen = self._drain()
        return seen if seen is not None and seen.transaction.complete and seen.transaction.sums_ok else None

    def _drain(self) -> MessageSeen | None:
        """Take the engine's events; return the last message."""
        seen: MessageSeen | None = None
        for event in self._connection.events():
            if isinstance(event, MessageSeen):
                seen = event
            elif isinstance(event, Violation):
                self._counters[str(event.cause)] += 1
            elif isinstance(event, TransactionSeen) and not event.sums_ok:
                self._counters["wrong_sum"] += 1
        self._noticed()
        return seen

    def blame(self, command: bytes, outcome: Outcome) -> str:
        """Log what went wrong with a transaction; return it as one line."""
        kind = self._catalogue.find(command)
        name = kind.spec.name if kind else command.hex(" ")
        why = outcome.broke_off.meaning if outcome.broke_off else "a sum is wrong, or the block has another size."
        _log.warning("%s: %s: %s", self._transport.url, name, why)
        return f"{name} went wrong: {why}"


def _shown(command: bytes, data: bytes, outcome: Outcome) -> str:
    written = f" + {data.hex(' ')}" if data else ""
    broke_off = f", {outcome.broke_off}" if outcome.broke_off else ""
    return f"{command.hex(' ')}{written} -> {outcome.said.hex(' ') or 'nothing'}{broke_off}"
