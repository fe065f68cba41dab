"""A serial port for a reader's thread: short waits, errors as sentences."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from m43drivers.analyser.model import AnalyserError
from m43drivers.streams.serialport import open_port
from m43drivers.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["GoneError", "Port", "asking"]

MOST = 65536


class GoneError(Exception):
    """The port is gone; the text says how."""


class Port:
    """A serial port; its waits end after a tenth of a second.

    Args:
        path: ``/dev/ttyACM0``, ``COM3``.
        baud: bits per second.
        clock: seconds.

    Raises:
        AnalyserError: it cannot be opened; the text says what to do.
    """

    def __init__(self, path: str, baud: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        try:
            self._serial = open_port(path, baud)
        except TransportError as error:
            raise AnalyserError(str(error)) from None

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            GoneError: the port is gone.
        """
        try:
            self._serial.write(data)
        except OSError as error:
            raise GoneError(_reason(error)) from None

    def read(self, most: int = MOST) -> bytes:
        """Return what came, at the latest after a tenth of a second; perhaps nothing.

        Raises:
            GoneError: the port is gone.
        """
        try:
            first = self._serial.read(1)
            waiting = min(self._serial.in_waiting, most - 1) if first else 0
            return bytes(first + self._serial.read(waiting)) if waiting else bytes(first)
        except OSError as error:
            raise GoneError(_reason(error)) from None

    def read_until(self, done: Callable[[bytes], bool], limit_s: float) -> bytes:
        """Return what comes until there is enough of it, or the time is up."""
        data, end = b"", self._clock() + limit_s
        while not done(data) and self._clock() < end:
            data += self.read()
        return data

    def settle(self, limit_s: float) -> bytes:
        """Read until nothing comes any more, or the time is up; return what came."""
        data, end = b"", self._clock() + limit_s
        while self._clock() < end:
            more = self.read()
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        """Let go of the port; may be called again."""
        with contextlib.suppress(OSError):
            self._serial.close()


def _reason(error: OSError) -> str:
    return str(error.strerror or error).splitlines()[0]


@contextlib.contextmanager
def asking(port: Port, source: str, *, keep: bool) -> Iterator[None]:
    """Talk with what is at a port; close it when that fails, and in the end unless it is to be kept.

    Args:
        port: the port.
        source: what the user calls it.
        keep: whether the port stays open when all went well.

    Raises:
        AnalyserError: the port is gone.
    """
    done = False
    try:
        yield
        done = keep
    except GoneError as error:
        raise AnalyserError(f"{source}: the port is gone ({error})") from None
    finally:
        if not done:
            port.close()
