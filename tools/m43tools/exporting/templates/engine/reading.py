"""Transactions -> messages, as `m43proto.connection.read_message` does, by the rows of ``tables.py``."""

from __future__ import annotations

from .connection import UNKNOWN
from .events import MessageSeen
from .evidence import Evidence
from .schema import Part
from .shapes import shape_of
from .tables import MESSAGES, PROVISIONAL
from .turns import AFTER_COMMAND, TURNS, Phase

__all__ = ["catalogue", "known_shape", "places", "read_message", "spans_of"]


def catalogue(provisional):
    """Return the messages by opcode, with this project's placeholders when asked for them."""
    known = {spec.opcode: spec for spec in PROVISIONAL} if provisional else {}
    known.update({spec.opcode: spec for spec in MESSAGES})
    return known


_KNOWN = catalogue(provisional=True)


def known_shape(command):
    """Return the shape of a command, or None when nobody knows it."""
    spec = _KNOWN.get(bytes(command[:2]))
    return spec.shape if spec else shape_of(command)


def read_message(transaction, known):
    """Name a transaction and decode its fields; an unknown opcode is data, never an error."""
    spec = known.get(bytes(transaction.command[:2]))
    if spec is None:
        return MessageSeen(transaction, UNKNOWN, {}, transaction.data, Evidence.UNKNOWN, None, None)
    reading = spec.read(transaction.command[2:], transaction.data, transaction.status)
    return MessageSeen(transaction, spec.name, reading.values, reading.rest, spec.evidence, None, None)


def places(transaction):
    """Return where each phase of a transaction stands in its bytes, as far as it has come: phase -> (start, end)."""
    found = {}
    phase, start = Phase.COMMAND, 0
    while phase is not Phase.IDLE and start < len(transaction.wire):
        turn = TURNS[phase]
        size = len(transaction.data) if turn.size is None else turn.size
        end = min(start + size, len(transaction.wire))
        found[phase] = (start, end)
        phase, start = turn.then or AFTER_COMMAND[transaction.shape], end
    return found


_PARTS = {
    Part.ARGUMENT: (Phase.COMMAND,),
    Part.BLOCK: (Phase.READ_DATA, Phase.WRITE_DATA),
    Part.STATUS: (Phase.STATUS,),
}


def spans_of(seen, known):
    """Return where each field of a message stands in the bytes of its transaction: name -> (start, end)."""
    transaction = seen.transaction
    spec = known.get(bytes(transaction.command[:2]))
    held = places(transaction)
    spans = {}
    for field in spec.fields if spec else ():
        start, end = next((held[phase] for phase in _PARTS[field.part] if phase in held), (0, 0))
        first = start + field.offset + (len(spec.opcode) if field.part is Part.ARGUMENT else 0)
        size = field.encoding.size
        spans[field.name] = (first, end if size is None else first + size)
    return spans
