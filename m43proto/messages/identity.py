"""Who the lens is (specs/5-messages.md §5.2)."""

from m43proto.encodings import FIRMWARE, HEX_CODE, MAKER, SERIAL, raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message, wire

__all__ = ["Identify"]

# fmt: off


@message("C1 F9", section="5.2.1", evidence=Evidence.CONFIRMED, source="BELL@44f0dea, BELL@046255c")
class Identify(Message):
    """Reads the identity of the lens: maker, model, serial number and firmware version."""

    argument_2: bytes = argument(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN)
    maker: int        = wire(MAKER, "0 Olympus, 1 Sigma, 2 Panasonic, ...", evidence=Evidence.INFERRED, source="BELL@44f0dea, EXIFTOOL")
    model: str        = wire(HEX_CODE, "model, two BCD digits", evidence=Evidence.INFERRED, source="BELL@44f0dea, EXIFTOOL")
    submodel: str     = wire(HEX_CODE, "sub-model; first digit 0 = Four Thirds, 1 = Micro Four Thirds", evidence=Evidence.INFERRED, source="BELL@44f0dea, EXIFTOOL")
    unknown_4: bytes  = wire(raw(2), "00 00 on the wire; other values in EXIF", default=bytes(2), evidence=Evidence.UNKNOWN, source="BELL@44f0dea, EXIFTOOL")
    serial: str       = wire(SERIAL, "serial number", evidence=Evidence.INFERRED, source="BELL@44f0dea, BELL@046255c, EXIF-S")
    firmware: str     = wire(FIRMWARE, "firmware version of the lens", evidence=Evidence.INFERRED, source="BELL@44f0dea, EXIF-S")
