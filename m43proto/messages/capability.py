"""What the body tells the lens at start-up (specs/5-messages.md §5.3)."""

from m43proto.encodings import raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message, wire

__all__ = ["BodyCapability"]

# fmt: off


@message("60 F0", section="5.3.1", evidence=Evidence.CONFIRMED, source="BELL@f7123ba, BELL@0b15280")
class BodyCapability(Message):
    """The body writes four bytes; a real lens accepts zeros. What they mean is unknown."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN)
    unknown_0: bytes  = wire(raw(4), "00 D1 00 02 or zeros; another variant is in doubt", default=bytes(4), evidence=Evidence.UNKNOWN)
