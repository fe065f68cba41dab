"""Where the bytes of a capture come from: a file, which can be read again, or a pipe, which cannot."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from m43drivers.capture.common import Meter
    from m43drivers.capture.model import CaptureError

__all__ = ["BLOCK", "Input", "Readable", "pieces"]

BLOCK = 1 << 17
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Readable(Protocol):
    """What readers of streams want of a file."""

    def read(self, size: int, /) -> bytes | None:
        """Give up to ``size`` bytes as soon as there are any, and none at the end."""


@dataclass(slots=True)
class Input:
    """One file or pipe.

    Attributes:
        path: as the user named it.
        size: in bytes; 0 where nobody knows.
        pipe: what to read, where it is no file.
        head: what was already read of the pipe.
    """

    path: Path
    size: int
    pipe: Readable | None = None
    head: bytes = b""

    @property
    def again(self) -> bool:
        """Whether it can be opened more than once."""
        return self.pipe is None

    @contextmanager
    def open(self) -> Iterator[Readable]:
        """Give the bytes from the start, without a buffer, so that a pipe gives what it has."""
        if self.pipe is not None:
            yield _Prefixed(self.head, self.pipe)
            return
        with self.path.open("rb", buffering=0) as stream:
            yield stream


@dataclass(slots=True)
class _Prefixed:
    """A pipe with what was read of it put back."""

    head: bytes
    rest: Readable

    def read(self, size: int, /) -> bytes | None:
        if not self.head:
            return self.rest.read(size)
        found, self.head = self.head[:size], self.head[size:]
        return found


@dataclass(slots=True)
class _Cutter:
    """Cuts text where one of some characters stands."""

    ends: tuple[bytes, ...]
    rest: bytes = field(default=b"")

    def cut(self, block: bytes) -> bytes:
        text = self.rest + block
        at = max(map(text.rfind, self.ends)) + 1
        self.rest = text[at:]
        return text[:at]


def pieces(
    stream: Readable, meter: Meter, ends: tuple[bytes, ...], most: int, too_long: Callable[[], CaptureError]
) -> Iterator[bytes]:
    """Give a text in pieces that end with one of some characters; only the last may not. A byte order mark is left out.

    Args:
        stream: where the text is read.
        meter: told how far it is.
        ends: characters of which one ends a piece.
        most: bytes without such a character, at most.
        too_long: makes the error where there are more.
    """
    cutter, done, first = _Cutter(ends), 0, True
    while block := stream.read(BLOCK):
        done += len(block)
        meter.at(done)
        if text := cutter.cut(block):
            yield text.removeprefix(BYTE_ORDER_MARK) if first else text
            first = False
        if len(cutter.rest) > most:
            raise too_long()
    if cutter.rest:
        yield cutter.rest.removeprefix(BYTE_ORDER_MARK) if first else cutter.rest
