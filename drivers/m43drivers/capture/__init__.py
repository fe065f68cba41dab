"""Readers of logic analyser captures: any supported file becomes a `Capture` of named lines with exact edge times.

The law of this room: a reader decides by content first, never holds the samples of a whole file, never invents a sample
or a time, and turns every bad input into one `CaptureError`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from m43drivers.capture import raw, saleae_binary, saleae_csv, sigrok, vcd
from m43drivers.capture.common import Options, shown
from m43drivers.capture.merge import merged_changes
from m43drivers.capture.model import Capture, CaptureError, Channel, Provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "READERS",
    "Capture",
    "CaptureError",
    "Channel",
    "Provenance",
    "Reader",
    "merged_changes",
    "open_capture",
]

HEAD = 4096
MAX_PATH = 200
MAX_RATE_HZ = 10**18
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
VCD_STARTS = (b"$timescale", b"$var", b"$date", b"$comment", b"$version", b"$scope")


@dataclass(frozen=True, slots=True)
class Reader:
    """One readable format.

    Attributes:
        name: what `Provenance.format` says.
        suffixes: of file names, for files whose content is not told by `matches`.
        matches: tells the format from the first bytes of a file.
        read: reads the files of one capture.
        description: one line for a person.
    """

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    read: Callable[[tuple[Path, ...], Options], Capture]
    description: str


def _is_zip(head: bytes) -> bool:
    return head.startswith(ZIP_STARTS)


def _is_saleae_binary(head: bytes) -> bool:
    return head.startswith(saleae_binary.MAGIC)


def _is_vcd(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(VCD_STARTS)


def _never(head: bytes) -> bool:
    """Raw samples have no mark."""
    return False


READERS = (
    Reader("sigrok", (".sr",), _is_zip, sigrok.read, "sigrok session (.sr)"),
    Reader("saleae-binary", (), _is_saleae_binary, saleae_binary.read, "Saleae Logic 2 binary export (.bin)"),
    Reader("vcd", (".vcd",), _is_vcd, vcd.read, "value change dump (.vcd)"),
    Reader("saleae-csv", (".csv",), saleae_csv.is_csv, saleae_csv.read, "Saleae Logic 2 raw CSV export (.csv)"),
    Reader(
        "raw", (".raw", ".bin", ".dat"), _never, raw.read, "raw packed samples with a given rate (.raw, .bin, .dat)"
    ),
)


def open_capture(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    rate_hz: float | Fraction | None = None,
    channels: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Capture:
    """Read a capture of any supported format.

    Args:
        paths: a file; a folder of a Saleae binary export; or several files of such an export.
        rate_hz: samples per second. Raw samples need it, and sigrok sessions that state no rate; where a session states
            one, this wins. Formats with exact times ignore it.
        channels: number of lines in raw samples, 8 unless given. Other formats ignore it.
        progress: called with the fraction read so far, at most some 200 times, the last time with 1.0.

    Raises:
        CaptureError: whatever is wrong with the files or the arguments, as one line.
    """
    files = _files(paths)
    options = Options(_exact_rate(files[0], rate_hz), channels, progress)
    try:
        capture = _reader(files).read(files, options)
    except OSError as error:
        raise _printable(CaptureError(error.filename or files[0], _refused(error))) from error
    except CaptureError as error:
        raise _printable(error) from error.__cause__
    if progress is not None:
        progress(1.0)
    return capture


def _files(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[Path, ...]:
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    files = tuple(map(Path, several))
    if not files:
        raise CaptureError("no file", "expected at least one capture file; name one")
    return files


def _exact_rate(path: Path, rate_hz: float | Fraction | None) -> Fraction | None:
    """Give the rate as the user wrote it: 333333.3 is 3333333/10, not the nearest double."""
    if rate_hz is None:
        return None
    if not 0 < rate_hz <= MAX_RATE_HZ:
        raise CaptureError(
            path, f"expected a sample rate above 0 Hz, found {shown(str(rate_hz))}; give it with --rate (rate_hz)"
        )
    return Fraction(str(rate_hz))


def _refused(error: OSError) -> str:
    return f"cannot be read ({error.strerror or error}); check the path and the permissions"


def _printable(error: CaptureError) -> CaptureError:
    """Keep an error on one line even if the name of the file is not."""
    if str(error).isprintable():
        return error
    return CaptureError(shown(error.path, MAX_PATH), error.expected, where=error.where)


def _reader(files: tuple[Path, ...]) -> Reader:
    modes = [_mode(file) for file in files]
    if len(files) == 1 and stat.S_ISDIR(modes[0]):
        return _named("saleae-binary")
    for file, mode in zip(files, modes, strict=True):
        if not stat.S_ISREG(mode):
            raise CaptureError(file, "expected a file or one folder; save the capture to a file and name that")
    return _named("saleae-binary") if len(files) > 1 else _reader_of(files[0])


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except ValueError as error:
        raise CaptureError(path, "no path can look like this; check it") from error


def _reader_of(path: Path) -> Reader:
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        raise CaptureError(path, "the file is empty; record or copy the capture again")
    suffix = path.suffix.lower()
    by_content = (reader for reader in READERS if reader.matches(head))
    by_suffix = (reader for reader in READERS if suffix in reader.suffixes)
    found = next(by_content, None) or next(by_suffix, None)
    if found is None:
        raise CaptureError(path, f"{_unknown(head)}; export the capture in one of these formats")
    return found


def _named(name: str) -> Reader:
    return next(reader for reader in READERS if reader.name == name)


def _unknown(head: bytes) -> str:
    readable = ", ".join(reader.description for reader in READERS)
    return f"begins with {shown(head[:16])}, which is none of: {readable}"
