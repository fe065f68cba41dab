"""Start-up of the lens and of the link (specs/5-messages.md §5.1)."""

from m43proto.encodings import raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message, status, wire

__all__ = ["Initialise", "InitialiseF0", "LinkCapability", "SelectLinkMode"]

# fmt: off


@message("B0 F2", section="5.1.1", evidence=Evidence.CONFIRMED, source="BELL@bb20aad")
class Initialise(Message):
    """First command of a session; the lens may stay busy for half a second before it completes."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN)
    result: bytes     = status(raw(1), "00 in every case seen; error codes are unknown", default=bytes(1), evidence=Evidence.OBSERVED)


@message("B0 F0", section="5.1.2", evidence=Evidence.OBSERVED, source="BLOG")
class InitialiseF0(Message):
    """First command at switch-on in another source, instead of `Initialise` or before it."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN)
    result: bytes     = status(raw(1), "00 in the one case seen", default=bytes(1))


@message("C0 F6", section="5.1.3", evidence=Evidence.CONFIRMED, source="BELL@bb20aad, BELL@db29971")
class LinkCapability(Message):
    """Reads four bytes before the link mode is selected; what they mean is unknown."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN)
    unknown_0: bytes  = wire(raw(2), "0A 10 in the one lens seen", evidence=Evidence.UNKNOWN)
    unknown_2: bytes  = wire(raw(2), "C4 09 in the one lens seen (2500 as a little-endian word)", evidence=Evidence.UNKNOWN)


@message("A0 F5", section="5.1.4", evidence=Evidence.CONFIRMED, source="BELL@bb20aad")
class SelectLinkMode(Message):
    """Probably selects how to communicate from here on; a real body then holds CLK low for about 1 ms."""

    mode: bytes       = argument(raw(1), "01 in every case seen", default=b"\x01", evidence=Evidence.INFERRED)
    argument_3: bytes = argument(raw(1), "always 00", default=bytes(1), evidence=Evidence.UNKNOWN)
