"""Where the firmware of the bridge is: plain Python, which runs here as it does on a board."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from m43proto.errors import M43Error

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["FirmwareMissingError", "firmware"]


class FirmwareMissingError(M43Error):
    """The firmware is not here; the text says where it is."""


def firmware() -> ModuleType:
    """Return the firmware's module `m43bridge.bridge`, from the repository that this file stands in.

    Raises:
        FirmwareMissingError: this is an installed package, which does not carry the firmware.
    """
    folder = Path(__file__).parents[2] / "bridge" / "firmware"
    if not (folder / "m43bridge").is_dir():
        raise FirmwareMissingError(
            "the firmware of the bridge is not in the installed package; run this in a clone of the repository"
        )
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module("m43bridge.bridge")
