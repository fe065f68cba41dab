"""Zip archives read with distrust: sizes are checked before anything is inflated, contents while they stream.

`zipfile` finds the entries; the bytes are inflated here, because its own stream silently stops at the declared size,
accepts entries that hold less, and keeps no piece size.
"""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

from m43drivers.capture import inflating
from m43drivers.capture.common import bare, shown
from m43drivers.capture.model import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["Archive"]

PIECE = 1 << 19
COMPRESSED_PIECE = 1 << 14
MAX_TEXT = 1 << 20
MAX_SEALED = 1 << 16

# Deflate spends at least 2 bits on 258 bytes, so it expands at most 1032:1; the slack is for tiny entries.
MAX_EXPANSION = 1032
EXPANSION_SLACK = 1 << 12

ENCRYPTED = 0x1
LOCAL_HEADER = struct.Struct("<4s22xHH")
LOCAL_MAGIC = b"PK\x03\x04"

# What zipfile lets through when a directory is damaged, beyond its own BadZipFile.
DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError, EOFError, struct.error)


class Archive:
    """A zip file of bounded trust; use it as a context manager.

    Raises:
        CaptureError: the file has no readable zip directory, or names an entry twice.
    """

    def __init__(self, path: Path, entries: dict[str, zipfile.ZipInfo] | None = None) -> None:
        self._path = path
        self._stream = path.open("rb")
        try:
            self._entries = self._directory() if entries is None else entries
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()

    def again(self) -> Archive:
        """Open it once more, apart from this one; its directory, which may hold thousands of entries, is known."""
        return Archive(self._path, self._entries)

    @property
    def names(self) -> frozenset[str]:
        """Names of the entries."""
        return frozenset(self._entries)

    def size(self, name: str) -> int:
        """Give the declared size of an entry in bytes, after checking that its compressed size allows it."""
        entry = self._entries[name]
        if entry.compress_type not in UNPACKERS or entry.flag_bits & ENCRYPTED:
            raise self._error(name, "is encrypted or packed by a method other than deflate; save the capture again")
        if entry.file_size > self._largest(entry):
            raise self._error(
                name,
                f"declares {entry.file_size} bytes, impossible for {entry.compress_size} compressed ones; "
                "the file is damaged, copy or save it again",
            )
        return entry.file_size

    def text(self, name: str) -> str:
        """Give the text of a small entry; bytes that are not UTF-8 become replacement characters."""
        if self.size(name) > MAX_TEXT:
            raise self._error(name, f"is larger than {MAX_TEXT} bytes; this is no capture's {name}")
        return b"".join(self.stream(name)).decode("utf-8", "replace")

    def seal(self, name: str) -> tuple[bytes, int, int] | None:
        """Give what makes two small entries the same: their compressed bytes, size and CRC; None for a larger entry."""
        entry = self._entries[name]
        if entry.compress_size > MAX_SEALED:
            return None
        return b"".join(self._packed(name)), self.size(name), entry.CRC

    def stream(self, name: str) -> Iterator[bytes]:
        """Inflate an entry in pieces of at most 512 KiB; size and CRC are checked on the way.

        Raises:
            CaptureError: the entry is damaged, or holds fewer or more bytes than it declares.
        """
        declared = self.size(name)
        entry, size, crc = self._entries[name], 0, 0
        for piece in self._unpacked(name):
            size += len(piece)
            if size > declared:
                raise self._error(name, f"inflates to more than the {declared} bytes it declares; the file is damaged")
            crc = inflating.crc32(piece, crc)
            yield piece
        if size < declared:
            raise self._error(name, f"claims {declared} bytes but holds {size}; the capture was cut, save it again")
        if crc != entry.CRC:
            raise self._error(name, "fails its CRC check; the file is damaged, copy it again")

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self._stream) as archive:
                entries = archive.infolist()
        except DAMAGE as error:
            expected = f"expected a zip archive, but its directory cannot be read ({shown(str(error), 60)})"
            raise CaptureError(self._path, f"{expected}; the file is cut or damaged, copy it again") from error
        found = {entry.filename: entry for entry in entries}
        if len(found) != len(entries):
            raise CaptureError(self._path, "names an entry twice; the file is damaged, save the capture again")
        return found

    def _largest(self, entry: zipfile.ZipInfo) -> int:
        if entry.compress_type == zipfile.ZIP_STORED:
            return entry.compress_size
        return entry.compress_size * MAX_EXPANSION + EXPANSION_SLACK

    def _unpacked(self, name: str) -> Iterator[bytes]:
        unpack = UNPACKERS[self._entries[name].compress_type]
        try:
            yield from unpack(self._packed(name))
        except inflating.ERRORS as error:
            raise self._error(name, f"cannot be inflated ({error}); the file is damaged, copy it again") from error

    def _packed(self, name: str) -> Iterator[bytes]:
        left = self._entries[name].compress_size
        at = self._data_offset(name)
        while left > 0:
            self._stream.seek(at)
            piece = self._stream.read(min(left, COMPRESSED_PIECE))
            if not piece:
                raise self._error(name, "the file ends inside this entry; copy it again")
            at, left = at + len(piece), left - len(piece)
            yield piece

    def _data_offset(self, name: str) -> int:
        at = self._entries[name].header_offset
        if at >= 0:
            self._stream.seek(at)
            header = self._stream.read(LOCAL_HEADER.size)
            if len(header) == LOCAL_HEADER.size and header.startswith(LOCAL_MAGIC):
                _, name_size, extra_size = LOCAL_HEADER.unpack(header)
                return at + LOCAL_HEADER.size + int(name_size) + int(extra_size)
        raise self._error(name, f"no entry begins at offset {at}; the file is cut or damaged, copy it again")

    def _error(self, name: str, expected: str) -> CaptureError:
        return CaptureError(self._path, expected, where=f"entry {bare(name)}")


def _stored(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield from pieces


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Inflate; what an incomplete stream lacks shows as missing bytes.

    Pieces of this size stay in the second level cache: whole members would cost more in page faults than in inflating.
    A damaged stream may end before its input does; zlib then keeps the rest as its unconsumed tail for ever.
    """
    engine = inflating.inflater()
    for piece in pieces:
        tail = piece
        while tail and not engine.eof:
            yield engine.decompress(tail, PIECE)
            tail = engine.unconsumed_tail
    while not engine.eof and (more := engine.decompress(b"", PIECE)):
        yield more


UNPACKERS = {zipfile.ZIP_STORED: _stored, zipfile.ZIP_DEFLATED: _inflated}
