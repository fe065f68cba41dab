"""sigrok session files ``.sr`` of version 2: a zip of a ``metadata`` key file and packed samples in pieces.

The note stands in the group ``[global]``, which sigrok's programs do not look into.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["add_entry", "metadata_text", "write"]

# What libsigrok puts into one entry.
ENTRY_BYTES = 4 << 20
# Long runs of equal samples leave little for higher levels to find.
LEVEL = 1
CREATED_ON_UNIX = 3
MODE = 0o644 << 16


def write(target: Path, samples: Samples, note: str) -> None:
    """Write a session; the zip holds no time of day, so that the same samples give the same bytes."""
    unit = (len(samples.names) + 7) // 8
    with zipfile.ZipFile(target, "x") as archive:
        add_entry(archive, "version", b"2")
        add_entry(archive, "metadata", metadata_text(samples.names, samples.rate_hz, unit, note).encode())
        for number, block in enumerate(samples.pieces(unit, ENTRY_BYTES // unit), 1):
            add_entry(archive, f"logic-1-{number}", block)


def add_entry(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add an entry that is the same whenever and wherever it is made."""
    entry = zipfile.ZipInfo(name)
    entry.create_system = CREATED_ON_UNIX
    entry.external_attr = MODE
    archive.writestr(entry, data, zipfile.ZIP_DEFLATED, LEVEL)


def metadata_text(names: tuple[str, ...], rate_hz: int, unit: int, note: str) -> str:
    """Return what a session says of itself."""
    escaped = note.replace("\\", "\\\\")
    lines = [
        "[global]",
        f"comment={escaped}",
        "",
        "[device 1]",
        "capturefile=logic-1",
        f"total probes={len(names)}",
        f"samplerate={rate_hz} Hz",
        "total analog=0",
        *(f"probe{number}={name}" for number, name in enumerate(names, 1)),
        f"unitsize={unit}",
    ]
    return "\n".join(lines) + "\n"
