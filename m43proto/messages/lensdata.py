"""Reads of lens data that bodies ask for and nobody has answered (specs/5-messages.md §5.7)."""

from m43proto.encodings import raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message, wire

__all__ = ["ReadC2F3", "ReadCFF3", "ReadLensData"]

# fmt: off


@message("C3 F0", section="5.7.1", evidence=Evidence.OBSERVED, source="BELL@ad79dd2, BELL@0b15280")
class ReadLensData(Message):
    """A real body reads a block of 2239 bytes; the content is unknown, perhaps optical correction data."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN)
    unknown_0: bytes  = wire(raw(None), "the whole block", evidence=Evidence.UNKNOWN)


@message("C2 F3", section="5.7.2", evidence=Evidence.OBSERVED, source="BELL@0b15280")
class ReadC2F3(Message):
    """A real body asks for it after start-up; no answer is known."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN)
    unknown_0: bytes  = wire(raw(None), "the whole block", evidence=Evidence.UNKNOWN)


@message("CF F3", section="5.7.3", evidence=Evidence.UNKNOWN, source="BELL@ad79dd2")
class ReadCFF3(Message):
    """Listed once and never again: probably `ReadC2F3` with a byte misread."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2))
    unknown_0: bytes  = wire(raw(None), "the whole block")
