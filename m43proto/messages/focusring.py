"""The manual-focus ring (specs/5-messages.md §5.6)."""

from m43proto.encodings import choice, raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message

__all__ = ["SetFocusRing"]

RING_DIRECTION = choice("ring direction", {0x00: "forward", 0x01: "reverse"})

# fmt: off


@message("A0 B0", section="5.6.1", evidence=Evidence.CONFIRMED, source="BELL@0b15280")
class SetFocusRing(Message):
    """Sets which way the focus moves when the ring is turned."""

    argument_2: bytes         = argument(raw(1), "always FE, which elsewhere means: leave alone", default=b"\xfe", evidence=Evidence.UNKNOWN)
    ring_direction: int | str = argument(RING_DIRECTION, "direction of the ring")
