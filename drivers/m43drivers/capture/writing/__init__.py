"""Writers of logic analyser captures: channels become a file that this project and other programs read.

The law of this room: what is written was computed, and says so wherever the format has a place for it; the same input
gives the same bytes; a target is whole or as it was before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from m43drivers.capture.common import one_line, shown
from m43drivers.capture.merge import MAX_CHANNELS
from m43drivers.capture.model import CaptureError
from m43drivers.capture.writing import saleae_binary, saleae_csv, sigrok, vcd
from m43drivers.capture.writing.changes import channels_of
from m43drivers.capture.writing.noise import NOISES, Noise, with_noise
from m43drivers.capture.writing.replacing import replacing
from m43drivers.capture.writing.sampling import EXACT_HZ, Samples, sampled

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from m43drivers.capture.model import Channel

__all__ = [
    "ANALYSER_HZ",
    "EXACT_HZ",
    "NOISES",
    "SYNTHETIC",
    "WRITERS",
    "Noise",
    "Writer",
    "channels_of",
    "with_noise",
    "write_capture",
    "writer_for",
]

ANALYSER_HZ = 24_000_000
"""The sample rate unless another is asked for: what the common eight-line analysers do at most."""

SYNTHETIC = "Synthetic: computed by m43proto, not recorded."

# What every format can hold, as the name of a line and as that of a file.
NAME = re.compile(r"\w(?:[\w .+-]{0,60}[\w+-])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Writer:
    """One format that can be written.

    Attributes:
        write: writes samples with a note to a path at which there is nothing yet.
        rate_hz: the sample rate unless another is asked for.
        description: one line for a person.
    """

    write: Callable[[Path, Samples, str], None]
    rate_hz: int
    description: str


WRITERS: dict[str, Writer] = {
    ".sr": Writer(sigrok.write, ANALYSER_HZ, "sigrok session"),
    ".vcd": Writer(vcd.write, EXACT_HZ, "value change dump, exact to the nanosecond"),
    ".csv": Writer(saleae_csv.write, ANALYSER_HZ, "Saleae Logic 2 raw CSV export"),
    ".bin": Writer(saleae_binary.write, ANALYSER_HZ, "Saleae Logic 2 binary export: a folder with a file per line"),
}
"""Formats by the suffix of the path."""


def writer_for(path: str | os.PathLike[str]) -> Writer:
    """Return the writer that a path asks for by its suffix, in any case.

    Raises:
        CaptureError: there is none.
    """
    writer = WRITERS.get(Path(path).suffix.lower())
    if writer is None:
        raise CaptureError(path, f"no capture format has this suffix; choose one of {', '.join(WRITERS)}")
    return writer


def write_capture(
    path: str | os.PathLike[str],
    channels: Sequence[Channel],
    end_ns: int,
    *,
    rate_hz: int | None = None,
    comment: str = "",
) -> None:
    """Write channels as a capture in the format that the suffix asks for, one of `WRITERS`.

    The file holds what an analyser of that rate sees: the levels at each sample instant. A value change dump is exact
    unless a rate is given. ``.bin`` becomes a folder of that name, as Logic 2 exports one file per line.

    An interrupted or failed write leaves nothing behind. A file that is there already is replaced; a folder is not.

    Args:
        path: where to.
        channels: 1 to 64 lines with distinct names of letters, digits, spaces and ``_ . + -``.
        end_ns: length of the capture in nanoseconds; edges behind it are left out.
        rate_hz: samples per second, 1 Hz to 1 GHz; 24 MHz unless given, and 1 GHz for a value change dump.
        comment: what to say of the data, behind `SYNTHETIC`; CSV has no place for either.

    Raises:
        CaptureError: the suffix names no format, an argument is none that can be written, or the system refuses.
    """
    target, writer = Path(path), writer_for(path)
    rate_hz = writer.rate_hz if rate_hz is None else rate_hz
    _check(target, channels, end_ns, rate_hz)
    note = one_line(f"{SYNTHETIC} {comment}")
    try:
        with replacing(target) as temporary:
            writer.write(temporary, sampled(channels, end_ns, rate_hz), note)
    except OSError as error:
        expected = f"cannot be written ({error.strerror or error}); check the folder, its permissions and its room"
        raise CaptureError(path, expected) from error


def _check(path: Path, channels: Sequence[Channel], end_ns: int, rate_hz: int) -> None:
    names = [channel.name for channel in channels]
    bad = next((name for name in names if not NAME.fullmatch(name)), None)
    if bad is not None:
        raise CaptureError(path, f"expected channel names of letters, digits, spaces and _ . + -, found {shown(bad)}")
    if not 1 <= len({name.casefold() for name in names}) == len(names) <= MAX_CHANNELS:
        found = shown(", ".join(names), 200)
        raise CaptureError(path, f"expected 1 to {MAX_CHANNELS} channels of distinct names in any case, found {found}")
    if not 1 <= rate_hz <= EXACT_HZ:
        raise CaptureError(path, f"expected a sample rate from 1 Hz to 1 GHz, found {rate_hz} Hz")
    if end_ns < 0:
        raise CaptureError(path, f"expected an end that is not before 0, found {end_ns} ns")
