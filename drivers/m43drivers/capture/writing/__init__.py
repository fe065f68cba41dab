"""Writers of logic analyser captures: channels become a file that this project and other programs read.

The law of this room: what is written was computed, and says so wherever the format has a place for it; the same input
gives the same bytes; a target is whole or as it was before.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from m43drivers.capture.common import one_line, shown
from m43drivers.capture.merge import MAX_CHANNELS
from m43drivers.capture.model import CaptureError
from m43drivers.capture.writing import dsview, ols, raw, saleae_binary, saleae_csv, sigrok, vcd
from m43drivers.capture.writing.changes import channels_of
from m43drivers.capture.writing.noise import NOISES, Noise, with_noise
from m43drivers.capture.writing.replacing import replacing
from m43drivers.capture.writing.resampling import Loss, resampled
from m43drivers.capture.writing.sampling import EXACT_HZ, Samples, sampled
from m43proto.records import record

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from m43drivers.capture.model import Channel
    from m43drivers.capture.stream import CaptureStream

__all__ = [
    "ANALYSER_HZ",
    "EXACT_HZ",
    "FORMATS",
    "NOISES",
    "SYNTHETIC",
    "WRITERS",
    "Format",
    "Loss",
    "Noise",
    "Writer",
    "channels_of",
    "with_noise",
    "write_capture",
    "write_stream",
    "writer_for",
]

ANALYSER_HZ = 24_000_000
"""The sample rate unless another is asked for: what the common eight-line analysers do at most."""

SYNTHETIC = "Synthetic: computed by m43proto, not recorded."

# What every format can hold, as the name of a line and as that of a file.
NAME = re.compile(r"\w(?:[\w .+-]{0,60}[\w+-])?", re.ASCII)


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
class Format:
    """One format that a capture can be converted to.

    Attributes:
        suffixes: of paths that ask for it.
        writer: writes it.
        is_exact: whether it holds times of whole nanoseconds instead of samples.
        most_lines: how many it can hold.
    """

    suffixes: tuple[str, ...]
    writer: Writer
    is_exact: bool = False
    most_lines: int = MAX_CHANNELS


FORMATS: dict[str, Format] = {
    "sigrok": Format((".sr",), WRITERS[".sr"]),
    "vcd": Format((".vcd",), WRITERS[".vcd"], is_exact=True),
    "saleae-csv": Format((".csv",), WRITERS[".csv"], is_exact=True),
    "saleae-binary": Format((".bin",), WRITERS[".bin"], is_exact=True),
    "dsview": Format((".dsl",), Writer(dsview.write, ANALYSER_HZ, "DSView session")),
    "ols": Format((".ols",), Writer(ols.write, ANALYSER_HZ, "Logic Sniffer session"), most_lines=ols.MAX_LINES),
    "raw": Format((".raw", ".dat"), Writer(raw.write, ANALYSER_HZ, "raw packed samples")),
}
"""Formats by the name that their reader has, too."""


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
    _write(target, writer, sampled(channels, end_ns, rate_hz), one_line(f"{SYNTHETIC} {comment}"))


def write_stream(
    path: Path, form: Format, stream: CaptureStream, *, names: Sequence[str], rate_hz: int, note: str
) -> Loss:
    """Write a stream as it is read, in memory that does not grow with it.

    Args:
        path: where to; what is said of `write_capture` holds.
        form: one of `FORMATS`.
        stream: what to write.
        names: what to call its lines, as `write_capture` wants them.
        rate_hz: samples per second, 1 Hz to 1 GHz.
        note: what to say of the data, where the format has a place for it.

    Raises:
        CaptureError: an argument is none that can be written, the stream breaks off, or the system refuses.
    """
    _check_names(path, names, form.most_lines)
    _check_rate(path, rate_hz)
    samples, loss = resampled(stream, names, rate_hz)
    _write(path, form.writer, samples, one_line(note))
    return loss


def _write(path: Path, writer: Writer, samples: Samples, note: str) -> None:
    try:
        with replacing(path) as temporary:
            writer.write(temporary, samples, note)
    except OSError as error:
        expected = f"cannot be written ({error.strerror or error}); check the folder, its permissions and its room"
        raise CaptureError(path, expected) from error


def _check(path: Path, channels: Sequence[Channel], end_ns: int, rate_hz: int) -> None:
    _check_names(path, [channel.name for channel in channels], MAX_CHANNELS)
    _check_rate(path, rate_hz)
    if end_ns < 0:
        raise CaptureError(path, f"expected an end that is not before 0, found {end_ns} ns")


def _check_names(path: Path, names: Sequence[str], most: int) -> None:
    bad = next((name for name in names if not NAME.fullmatch(name)), None)
    if bad is not None:
        raise CaptureError(path, f"expected channel names of letters, digits, spaces and _ . + -, found {shown(bad)}")
    if not 1 <= len({name.casefold() for name in names}) == len(names) <= most:
        found = shown(", ".join(names), 200)
        raise CaptureError(path, f"expected 1 to {most} channels of distinct names in any case, found {found}")


def _check_rate(path: Path, rate_hz: int) -> None:
    if not 1 <= rate_hz <= EXACT_HZ:
        raise CaptureError(path, f"expected a sample rate from 1 Hz to 1 GHz, found {rate_hz} Hz")
