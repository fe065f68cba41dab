"""Stabilisation: placeholders of this project, in opcodes that no known command uses (specs/5-messages.md §5.8).

Nothing about stabilisation is public on the wire. The modes are those that bodies store in photographs (EXIFTOOL);
opcodes, layout and units are made up here, so that a phone can be built against something until somebody knows better.
"""

from m43proto.encodings import ANGLE, FOCAL_LENGTH, choice, raw
from m43proto.evidence import Evidence
from m43proto.schema import Message, argument, message, wire

__all__ = ["SetStabilisation", "StabilisationStatus"]

MODE = choice("stabilisation mode", {0: "off", 1: "all-axes", 2: "vertical-pan", 3: "horizontal-pan", 4: "auto"})
CORRECTOR = choice("corrector", {0: "lens", 1: "body", 2: "both"})
STATE = choice("stabiliser state", {0: "parked", 1: "starting", 2: "correcting", 3: "at-limit", 4: "failed"})

# fmt: off


@message("60 90", section="5.8.1", evidence=Evidence.PROVISIONAL, source="PROJECT, EXIFTOOL")
class SetStabilisation(Message):
    """Provisional: sets the stabilisation mode, who corrects, and for which focal length."""

    argument_2: bytes      = argument(raw(2), "00 00", default=bytes(2))
    mode: int | str        = wire(MODE, "stabilisation mode")
    corrector: int | str   = wire(CORRECTOR, "who corrects")
    focal_length_mm: float = wire(FOCAL_LENGTH, "focal length that the corrector reckons with")


@message("C1 90", section="5.8.2", evidence=Evidence.PROVISIONAL, source="PROJECT, EXIFTOOL")
class StabilisationStatus(Message):
    """Provisional: reads what the stabiliser does."""

    argument_2: bytes       = argument(raw(2), "00 00", default=bytes(2))
    mode: int | str         = wire(MODE, "stabilisation mode")
    state: int | str        = wire(STATE, "what the stabiliser does")
    pitch_offset_deg: float = wire(ANGLE, "present correction up and down")
    yaw_offset_deg: float   = wire(ANGLE, "present correction left and right")
