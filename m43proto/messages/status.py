"""What the lens says of itself at every poll (specs/5-messages.md §5.4)."""

from m43proto.encodings import DISTANCE, F_NUMBER, FOCUS_POSITION, ZOOM_STEP, raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message, wire

__all__ = ["Status"]

# fmt: off


@message("C1 80", section="5.4.1", evidence=Evidence.CONFIRMED, source="BELL@f7123ba, BELL@0b15280")
class Status(Message):
    """Polls the lens, about once per frame; microfourthirds calls it the standby packet."""

    argument_2: bytes       = argument(raw(1), "always 01", default=b"\x01", evidence=Evidence.UNKNOWN)
    format: bytes           = argument(raw(1), "02 (E-P1) or 06 (E-PL1)", default=b"\x06", evidence=Evidence.INFERRED)
    flags: bytes            = wire(raw(4), "C2 E1 00 00; bits that nobody has decoded", evidence=Evidence.UNKNOWN, source="BELL@046255c")
    zoom_step: int          = wire(ZOOM_STEP, "zoom ring", evidence=Evidence.INFERRED, source="BELL@046255c, EXIF-S")
    unknown_5: bytes        = wire(raw(1), "perhaps the low byte of a focus position", evidence=Evidence.UNKNOWN, source="BELL@046255c")
    focus_distance_m: float = wire(DISTANCE, "distance that is in focus", evidence=Evidence.INFERRED, source="BELL@046255c, GH5-FORUM, EXIF-S")
    aperture_f: float       = wire(F_NUMBER, "effective aperture", evidence=Evidence.INFERRED, source="BELL@046255c, EXIFTOOL, LUMIX")
    unknown_10: bytes       = wire(raw(2), "00 0C; BELL calls it scaled zoom", evidence=Evidence.UNKNOWN, source="BELL@046255c")
    focus_position: int     = wire(FOCUS_POSITION, "position of the focus motor", evidence=Evidence.INFERRED, source="BELL@046255c, EXIFTOOL")
    unknown_14: bytes       = wire(raw(16), "eight words, little-endian; perhaps positions for steps of 0.5 dioptre", evidence=Evidence.UNKNOWN, source="BELL@046255c")
