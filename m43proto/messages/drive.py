"""Drives: the motions of aperture and focus (specs/5-messages.md §5.5)."""

from m43proto.encodings import F_NUMBER, FOCUS_POSITION, choice, raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message, status, wire

__all__ = ["Drive", "EnableDrive"]

FOCUS_OPERATION = choice("focus operation", {0x03: "move", 0x04: "scan", 0x06: "setup", 0xFE: "leave"})
APERTURE_OPERATION = choice("aperture operation", {0x02: "set", 0xFE: "leave"})

# fmt: off


@message("B1 88", section="5.5.1", evidence=Evidence.CONFIRMED, source="BELL@0b15280")
class EnableDrive(Message):
    """Last step of the start-up; perhaps allows the operations that it names."""

    focus_operation: int | str    = argument(FOCUS_OPERATION, "03 in every case seen", default="move", evidence=Evidence.INFERRED)
    aperture_operation: int | str = argument(APERTURE_OPERATION, "02 in every case seen", default="set", evidence=Evidence.INFERRED)
    result: bytes                 = status(raw(1), "00 in every case seen; error codes are unknown", default=bytes(1), evidence=Evidence.OBSERVED)


@message("60 80", section="5.5.2", evidence=Evidence.CONFIRMED, source="BELL@1c72da3, BELL@bc3a33a")
class Drive(Message):
    """Drives the aperture, the focus, or both."""

    focus_operation: int | str    = argument(FOCUS_OPERATION, "what to do with the focus", default="leave", evidence=Evidence.INFERRED, source="BELL@0b15280, BELL@da4f851")
    aperture_operation: int | str = argument(APERTURE_OPERATION, "what to do with the aperture", default="leave", evidence=Evidence.INFERRED, source="BELL@45cf9b6")
    unknown_0: bytes              = wire(raw(1), "always 01", default=b"\x01", evidence=Evidence.UNKNOWN, source="BELL")
    aperture_f: float             = wire(F_NUMBER, "aperture to set", default=1.0, evidence=Evidence.INFERRED, source="BELL@1c72da3, EXIFTOOL", only_if=("aperture_operation", ("set",)))
    unknown_3: bytes              = wire(raw(2), "always 00 00", default=bytes(2), evidence=Evidence.UNKNOWN, source="BELL")
    focus_target: int             = wire(FOCUS_POSITION, "position to move to; 32767 with scan", default=0, evidence=Evidence.INFERRED, source="BELL@bc3a33a", only_if=("focus_operation", ("move", "scan")))
    unknown_7: bytes              = wire(raw(2), "00 00, 01 00 or 05 00; perhaps direction or mode, perhaps the target's high half", default=bytes(2), evidence=Evidence.UNKNOWN, source="BELL@0b15280, BELL@bc3a33a")
