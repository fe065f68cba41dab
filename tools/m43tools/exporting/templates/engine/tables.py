"""The messages as rows: those that were exported, and this project's placeholders (provisional)."""

from __future__ import annotations

from .encodings import (
    ANGLE,
    DISTANCE,
    F_NUMBER,
    FIRMWARE,
    FOCAL_LENGTH,
    FOCUS_POSITION,
    HEX_CODE,
    MAKER,
    SERIAL,
    ZOOM_STEP,
    choice,
    plain,
    raw,
)
from .evidence import Evidence
from .layouts import Divided, Integer
from .schema import Field, MessageSpec, Part
from .shapes import Shape

__all__ = ["MESSAGES", "PROVISIONAL"]

MESSAGES = ()

PROVISIONAL = ()
