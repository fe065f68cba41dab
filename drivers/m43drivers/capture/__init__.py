"""Readers of logic analyser captures: any supported file becomes a `Capture` of named lines with exact edge times.

The law of this room: a reader decides by content first, never holds the samples of a whole file, never invents a sample
or a time, and turns every bad input into one `CaptureError`.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m43drivers.capture.archive import Archive
from m43drivers.capture.collecting import collected
from m43drivers.capture.common import Options, shown
from m43drivers.capture.input import Input
from m43drivers.capture.merge import merged_changes
from m43drivers.capture.model import Capture, CaptureError, Channel, Provenance, RateMissingError
from m43drivers.capture.rows import gathered
from m43drivers.capture.stream import CaptureStream
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from m43drivers.capture.stream import Block

__all__ = [
    "READERS",
    "STDIN",
    "Capture",
    "CaptureError",
    "CaptureStream",
    "Channel",
    "Provenance",
    "RateMissingError",
    "Reader",
    "merged_changes",
    "open_capture",
    "open_stream",
]

STDIN = Path("-")
HEAD = 4096
ENOUGH = 64
MAX_PATH = 200
MAX_RATE_HZ = 10**18
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
SALEAE_START = b"<SALEAE>"
VCD_STARTS = (b"$timescale", b"$var", b"$date", b"$comment", b"$version", b"$scope")


@record(frozen=True, slots=True, kw_only=True)
class Reader:
    """One readable format.

    Attributes:
        name: what `Provenance.format` says.
        suffixes: of file names, for files whose content is not told by `matches`.
        matches: tells the format from the first bytes of a file.
        entry: of formats that are zip archives, the entry by which they are told apart; the others have none.
        open: opens the files of one capture.
        pipes: whether it can be read from a pipe.
        description: one line for a person.
    """

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    open: Callable[[tuple[Input, ...], Options], CaptureStream]
    description: str
    entry: str = ""
    pipes: bool = False


def _is_zip(head: bytes) -> bool:
    return head.startswith(ZIP_STARTS)


def _reader_module(name: str) -> Any:
    """Import what reads a format, when it is asked for: most of a short run would be spent on the other formats."""
    return import_module(f"m43drivers.capture.{name}")


def _is_saleae_binary(head: bytes) -> bool:
    return head.startswith(SALEAE_START)


def _told_by(module: str, test: str) -> Callable[[bytes], bool]:
    """Return the test of a reader's own, which no zip archive passes."""

    def matches(head: bytes) -> bool:
        return not _is_zip(head) and bool(getattr(_reader_module(module), test)(head))

    return matches


def _is_vcd(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(VCD_STARTS)


def _never(head: bytes) -> bool:
    """Raw samples have no mark."""
    return False


def _files_by(module: str, opener: str) -> Callable[[tuple[Input, ...], Options], CaptureStream]:
    """Return the reader of several files at once."""

    def opened(inputs: tuple[Input, ...], options: Options) -> CaptureStream:
        stream: CaptureStream = getattr(_reader_module(module), opener)(inputs, options)
        return stream

    return opened


def _one_by(module: str, opener: str) -> Callable[[tuple[Input, ...], Options], CaptureStream]:
    """Return the reader of one file."""

    def opened(inputs: tuple[Input, ...], options: Options) -> CaptureStream:
        (source,) = inputs
        stream: CaptureStream = getattr(_reader_module(module), opener)(source, options)
        return stream

    return opened


def _path_by(module: str) -> Callable[[tuple[Input, ...], Options], CaptureStream]:
    """Return the reader of paths."""

    def opened(inputs: tuple[Input, ...], options: Options) -> CaptureStream:
        stream: CaptureStream = _reader_module(module).stream(tuple(source.path for source in inputs), options)
        return stream

    return opened


def _raw(inputs: tuple[Input, ...], options: Options) -> CaptureStream:
    (source,) = inputs
    stream: CaptureStream = _reader_module("raw").stream((source.path,), options, source.head)
    return stream


READERS = (
    Reader(
        name="sigrok",
        suffixes=(".sr",),
        matches=_is_zip,
        entry="metadata",
        open=_path_by("sigrok"),
        description="sigrok session (.sr)",
    ),
    Reader(
        name="saleae-session",
        suffixes=(".sal",),
        matches=_is_zip,
        entry="meta.json",
        open=_one_by("saleae_session", "open_session"),
        description="Saleae Logic 2 session (.sal)",
    ),
    Reader(
        name="dsview",
        suffixes=(".dsl",),
        matches=_is_zip,
        entry="header",
        open=_one_by("dsview", "open_session"),
        description="DSView session (.dsl)",
    ),
    Reader(
        name="saleae-binary",
        suffixes=(),
        matches=_is_saleae_binary,
        open=_files_by("saleae_binary", "open_export"),
        description="Saleae Logic 2 binary export (.bin)",
    ),
    Reader(
        name="vcd",
        suffixes=(".vcd",),
        matches=_is_vcd,
        open=_one_by("vcd", "open_dump"),
        pipes=True,
        description="value change dump (.vcd)",
    ),
    Reader(
        name="saleae-csv",
        suffixes=(".csv",),
        matches=_told_by("saleae_csv", "is_csv"),
        open=_one_by("saleae_csv", "open_table"),
        pipes=True,
        description="Saleae Logic 2 or 1 raw CSV export (.csv)",
    ),
    Reader(
        name="ols",
        suffixes=(".ols",),
        matches=_told_by("ols", "is_ols"),
        open=_one_by("ols", "open_session"),
        description="Logic Sniffer session (.ols)",
    ),
    Reader(
        name="saleae-logic1",
        suffixes=(),
        matches=_told_by("logic1", "is_changes"),
        open=_one_by("logic1", "open_export"),
        description="Saleae Logic 1 binary export of changes (.bin)",
    ),
    Reader(
        name="raw",
        suffixes=(".raw", ".bin", ".dat"),
        matches=_never,
        open=_raw,
        pipes=True,
        description="raw packed samples with a given rate (.raw, .bin, .dat)",
    ),
)


def open_stream(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    rate_hz: float | Fraction | None = None,
    channels: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> CaptureStream:
    """Open a capture of any supported format, to be read as it goes.

    Args:
        paths: a file; a folder of a Saleae binary export; several files of such an export; or ``-`` for what comes in
            on standard input.
        rate_hz: samples per second. Raw samples need it, and sigrok sessions that state no rate; where a session states
            one, this wins. Formats with exact times ignore it.
        channels: number of lines in raw samples, 8 unless given. Other formats ignore it.
        progress: called with the fraction read so far, at most some 200 times, the last time with 1.0.

    Raises:
        CaptureError: whatever is wrong with the files or the arguments, as one line. `CaptureStream.blocks` raises it
            for what is found wrong only there; what the provenance tells is whole when they are read.
    """
    files = _files(paths)
    options = Options(_exact_rate(files[0], rate_hz), channels, progress)
    with _refusing(files[0]):
        reader, inputs = _found(files, options)
        stream = reader.open(inputs, options)

    def blocks(wanted: int | None) -> Iterator[Block]:
        with _refusing(files[0]):
            found = stream.blocks(wanted)
            yield from gathered(found) if stream.again else found
        if progress is not None:
            progress(1.0)

    return replace(stream, blocks=blocks)


def open_capture(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    rate_hz: float | Fraction | None = None,
    channels: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Capture:
    """Read a capture of any supported format as a whole; the arguments are those of `open_stream`.

    Raises:
        CaptureError: whatever is wrong with the files or the arguments, as one line.
    """
    return collected(open_stream(paths, rate_hz=rate_hz, channels=channels, progress=progress))


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


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn errors of the system into errors of a capture, and keep those on one line even if a file's name is not."""
    try:
        yield
    except OSError as error:
        raise _printable(CaptureError(error.filename or path, _refused(error))) from error
    except CaptureError as error:
        raise _printable(error) from error.__cause__


def _printable(error: CaptureError) -> CaptureError:
    if str(error).isprintable():
        return error
    return CaptureError(shown(error.path, MAX_PATH), error.expected, where=error.where)


def _found(files: tuple[Path, ...], options: Options) -> tuple[Reader, tuple[Input, ...]]:
    """Find the reader of files, by their kind, their content or their name."""
    if files == (STDIN,):
        source = Input(STDIN, 0, FileIO(sys.stdin.fileno(), closefd=False))
        return _piped(source, options), (source,)
    modes = [_mode(file) for file in files]
    if len(files) == 1 and stat.S_ISDIR(modes[0]):
        return _named("saleae-binary"), (Input(files[0], 0),)
    for file, mode in zip(files, modes, strict=True):
        if not stat.S_ISREG(mode):
            raise CaptureError(file, "expected a file or one folder; save the capture to a file and name that")
    inputs = tuple(Input(file, file.stat().st_size) for file in files)
    return (_named("saleae-binary") if len(files) > 1 else _reader_of(files[0])), inputs


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except ValueError as error:
        raise CaptureError(path, "no path can look like this; check it") from error


def _piped(source: Input, options: Options) -> Reader:
    """Find the reader of a pipe by what comes first; without a rate it is no raw samples."""
    while len(source.head) < ENOUGH and source.pipe and (more := source.pipe.read(ENOUGH)):
        source.head += more
    if not source.head:
        raise CaptureError(source.path, "nothing came in; check the program before the pipe")
    found = [reader for reader in READERS if reader.matches(source.head)]
    reader = next(iter(found), None if options.rate_hz is None else _named("raw"))
    if reader is None or not reader.pipes:
        known = ", ".join(reader.description for reader in READERS if reader.pipes)
        begins = f"begins with {shown(source.head[:16])}"
        raise CaptureError(source.path, f"{begins}; from a pipe can be read: {known}; save anything else to a file")
    return reader


def _reader_of(path: Path) -> Reader:
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        raise CaptureError(path, "the file is empty; record or copy the capture again")
    suffix = path.suffix.lower()
    by_content = [reader for reader in READERS if reader.matches(head)]
    by_suffix = [reader for reader in READERS if suffix in reader.suffixes]
    found = next(iter(_by_entry(path, by_content) or by_content or by_suffix), None)
    if found is None:
        raise CaptureError(path, f"{_unknown(head)}; export the capture in one of these formats")
    return found


def _by_entry(path: Path, readers: list[Reader]) -> list[Reader]:
    """Choose among formats that are zip archives; a damaged one is left to the first of them to refuse."""
    if not any(reader.entry for reader in readers):
        return []
    try:
        with Archive(path) as archive:
            names = archive.names
    except CaptureError:
        return []
    return [reader for reader in readers if reader.entry in names]


def _named(name: str) -> Reader:
    return next(reader for reader in READERS if reader.name == name)


def _unknown(head: bytes) -> str:
    readable = ", ".join(reader.description for reader in READERS)
    return f"begins with {shown(head[:16])}, which is none of: {readable}"
