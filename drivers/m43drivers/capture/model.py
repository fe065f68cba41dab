"""What every capture reader gives: channels as edge times, and where they come from."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from m43proto.errors import M43Error
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Capture", "CaptureError", "Channel", "Provenance", "RateMissingError"]


class CaptureError(M43Error):
    """A capture cannot be read or written; the text is one line: file, place in it, what was expected, what to do.

    Attributes:
        path: the file as the user named it.
        where: the place in it (``"offset 44"``, ``"line 3"``, ``"entry logic-1-2"``), or an empty string.
        expected: what was expected there and what was found.
    """

    def __init__(self, path: object, expected: str, *, where: str = "") -> None:
        self.path = str(path)
        self.where = where
        self.expected = expected
        super().__init__(f"{self.path}: {where + ': ' if where else ''}{expected}")


class RateMissingError(CaptureError):
    """The capture states no sample rate, and none was given."""


@record(frozen=True, slots=True, eq=False)
class Channel:
    """One recorded signal.

    Attributes:
        name: as the file names it (``"D0"``, ``"Channel 3"``, ``"CLK"``).
        initial: its level at the start of the capture, 0 or 1.
        edges_ns: the times at which the level toggles, integer nanoseconds from the start of the capture, strictly
            increasing (``int64``).
        aliases: other names that a user may give for it (``"D3"``, ``"3"``).
    """

    name: str
    initial: int
    edges_ns: NDArray[np.int64]
    aliases: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Provenance:
    """Where a capture comes from.

    Attributes:
        path: the file or folder as the user named it.
        format: the reader's name (``"sigrok"``, ``"vcd"``, ``"saleae-csv"``, ``"saleae-binary"``, ``"raw"``).
        details: what the file says of itself (tool, version, comment, time zero), in the file's own words.
    """

    path: str
    format: str
    details: Mapping[str, str] = field(default_factory=dict)


@record(frozen=True, slots=True, eq=False)
class Capture:
    """A recording of digital lines, whatever the file format was.

    Attributes:
        channels: the recorded signals in the file's order.
        end_ns: the time of the last sample, in nanoseconds from the start of the capture.
        sample_rate_hz: the sampling rate, or None where the file holds exact times.
        provenance: where it comes from.
    """

    channels: tuple[Channel, ...]
    end_ns: int
    sample_rate_hz: float | None
    provenance: Provenance
