"""Sessions of the Logic Sniffer client ``.ols``: text of keys, then rows of ``state@sample``; more keys may follow.

Sources of the rules: the client's ``OlsDataHelper``, libsigrok ``output/ols.c``, and a real file.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.common import Meter, Options, one_line, shown
from m43drivers.capture.input import pieces
from m43drivers.capture.model import CaptureError, Provenance
from m43drivers.capture.rows import Rows
from m43drivers.capture.stream import CaptureStream, Label
from m43drivers.capture.times import last_sample_ns, period_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from m43drivers.capture.input import Input, Readable
    from m43drivers.capture.stream import Block

__all__ = ["is_ols", "open_session"]

MAX_LINE = 1 << 12
MAX_CHANNELS = 32
MAX_KEYS = 1 << 10
BATCH = 1 << 14
START = re.compile(rb"(?:;[\w .:/-]{0,200}\r?\n)*?;(?:Rate|Channels|Size): *-?\d")
KEY = re.compile(rb";\s*([\w ]{1,40}):\s*(.*)")
ROW = re.compile(rb"([0-9a-fA-F]{1,8})@(\d{1,18})")
ALL = -1
TOLD = ("Rate", "TriggerPosition", "EnabledChannels")


def is_ols(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is such a session."""
    return START.match(head) is not None


def open_session(source: Input, options: Options) -> CaptureStream:
    """Open a session; a state holds until the next row.

    Lines that ``EnabledChannels`` leaves out are left out. The first row is time zero.

    Args:
        source: a file or a pipe.
        options: ``rate_hz`` wins over the rate in the file.

    Raises:
        CaptureError: the keys break the format; the error names the line. The stream raises it for a row.
    """
    with source.open() as stream:
        first = _Session(source, stream, Options(options.rate_hz) if source.again else options)

    def blocks(wanted: int | None) -> Iterator[Block]:
        with source.open() as stream:
            session = _Session(source, stream, options) if source.again else first
            yield from session.blocks(wanted)

    labels = tuple(Label(f"D{bit}", (str(bit),)) for bit in first.bits)
    details = {key: one_line(first.keys[key]) for key in TOLD if key in first.keys}
    provenance = Provenance(str(source.path), "ols", details)
    return CaptureStream(labels, period_ns(first.rate), float(first.rate), provenance, blocks, source.again)


class _Session:
    """A session of which the keys are read."""

    def __init__(self, source: Input, stream: Readable, options: Options) -> None:
        self._path = source.path
        self._number = 0
        texts = pieces(stream, Meter(options.progress, source.size), (b"\n",), MAX_LINE, self._endless)
        self._lines = (line for text in texts for line in text.splitlines())
        self._first = b""
        self.keys = self._read_keys()
        self.rate = options.rate_hz or Fraction(self._whole("Rate", 1, 10**12))
        channels = self._whole("Channels", 1, MAX_CHANNELS)
        enabled = self._whole("EnabledChannels", -(2**31), 2**32 - 1) if "EnabledChannels" in self.keys else ALL
        self.bits = tuple(bit for bit in range(channels) if enabled >> bit & 1)
        if not self.bits:
            raise self._error("EnabledChannels names no line; save the session again")

    def blocks(self, wanted: int | None) -> Iterator[Block]:
        """Read to the end of the file.

        Raises:
            CaptureError: a row breaks the format, or there are not as many as the keys say.
        """
        rows, count, (_, origin) = Rows(len(self.bits), wanted), 0, self._row(self._first)
        now, found = origin, [self._row(self._first)]
        while found:
            count += len(found)
            now = found[-1][1]
            states = self._chosen(np.array([state for state, _ in found], np.uint64))
            yield from rows.add(np.array([sample for _, sample in found], np.int64) - origin, states, now - origin)
            found = self._batch(now)
        if "Size" in self.keys and self._whole("Size", 0, 10**12) != count:
            raise self._error(
                f"expected {self.keys['Size']} rows (Size), found {count}; the file is cut, save it again"
            )
        last_sample_ns(self._path, now - origin + 1, period_ns(self.rate))
        yield from rows.finish(now - origin)

    def _batch(self, now: int) -> list[tuple[int, int]]:
        """Read the next rows; sample numbers do not go back."""
        found = []
        for line in islice(self._lines, BATCH):
            self._number += 1
            if line.strip() and not line.startswith(b";"):
                state, sample = self._row(line)
                if sample < now:
                    raise self._error(f"sample {sample} comes after sample {now}; save the session again")
                found.append((state, now := sample))
        return found

    def _read_keys(self) -> dict[str, str]:
        keys: dict[str, str] = {}
        for line in self._lines:
            self._number += 1
            match = KEY.fullmatch(line.strip())
            if match and len(keys) < MAX_KEYS:
                keys.setdefault(match[1].decode(), match[2].decode("utf-8", "replace").strip())
            elif line.strip() and not line.startswith(b";"):
                self._first = line
                return keys
        raise self._error("holds no rows; the file is cut, save the session again")

    def _whole(self, key: str, least: int, most: int) -> int:
        text = self.keys.get(key, "")
        if not (re.fullmatch(r"-?\d{1,13}", text) and least <= int(text) <= most):
            raise self._error(f"expected a key ';{key}: N' of {least} to {most} before it, found {shown(text)}")
        return int(text)

    def _row(self, line: bytes) -> tuple[int, int]:
        match = ROW.fullmatch(line.strip())
        if match is None:
            raise self._error(f"expected a row like '0000001f@10991', found {shown(line)}; save the session again")
        return int(match[1], 16), int(match[2])

    def _chosen(self, states: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Give the bits of the lines side by side."""
        chosen = np.zeros(states.size, np.uint64)
        for place, bit in enumerate(self.bits):
            chosen |= (states >> np.uint64(bit) & np.uint64(1)) << np.uint64(place)
        return chosen

    def _endless(self) -> CaptureError:
        return self._error(f"more than {MAX_LINE} bytes without a line end; this is no Logic Sniffer session")

    def _error(self, expected: str) -> CaptureError:
        return CaptureError(self._path, expected, where=f"line {max(self._number, 1)}")
