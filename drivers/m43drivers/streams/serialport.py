"""Serial ports as byte streams. pyserial opens, sets and closes them; bytes do not go through it on POSIX.

Settings: 8 data bits, no parity, one stop bit, no flow control, 115200 baud unless the user says otherwise (a USB
serial port has no baud rate; the number means nothing to it). The port is taken exclusively.

DTR and RTS stay up, as POSIX systems raise them when a port is opened: MicroPython takes a host for connected while DTR
is up. Nothing pulses them, and closing leaves them as they are (HUPCL off), so a board whose reset hangs on DTR is not
reset by the next opening. 1200 baud is refused: many boards take it as the order to start their boot loader.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import TYPE_CHECKING, Any

from m43drivers.streams.descriptor import DescriptorStream
from m43drivers.streams.threaded import ThreadedStream
from m43drivers.transport import TransportError

if TYPE_CHECKING:
    import serial

    from m43drivers.streams.base import ByteStream

__all__ = ["BAUD", "open_port", "open_serial"]

BAUD = 115_200
"""Baud rate unless the user says otherwise."""

BOOT_LOADER_BAUD = 1_200
"""The baud rate that many boards take as the order to start their boot loader."""

READ_S = 0.1
WRITE_S = 4.5
"""How long a thread waits for bytes, and for a peer that takes none."""

_HINTS = {
    errno.ENOENT: "there is no such port; m43 ports lists those there are",
    errno.ENXIO: "there is no such port; m43 ports lists those there are",
    errno.ENODEV: "there is no such port; m43 ports lists those there are",
    errno.EACCES: "you may not open it; on Linux, ask to be put into its group (ls -l names it, often dialout)",
    errno.EAGAIN: "another program has it open; close that first",
    errno.EBUSY: "another program has it open; close that first",
    errno.ENOTTY: "is no serial port; m43 ports lists those there are",
}


async def open_serial(path: str, *, baud: int = BAUD, threads: bool = os.name != "posix") -> ByteStream:
    """Open a serial port.

    Args:
        path: ``/dev/ttyACM0``, ``COM3``.
        baud: bits per second.
        threads: read and write in threads, for event loops that cannot watch a port.

    Raises:
        TransportError: it cannot be opened; the text says what to do.
    """
    port = open_port(path, baud)
    try:
        return ThreadedStream(path, _SerialPort(port)) if threads else _watched(path, port)
    except BaseException:
        port.close()
        raise


def open_port(path: str, baud: int = BAUD) -> serial.Serial:
    """Open a serial port to read from and write to in a thread of one's own.

    Args:
        path: ``/dev/ttyACM0``, ``COM3``.
        baud: bits per second.

    Raises:
        TransportError: it cannot be opened; the text says what to do.
    """
    import serial

    if baud == BOOT_LOADER_BAUD:
        raise TransportError(f"{path}: 1200 baud starts the boot loader of many boards; take another")
    try:
        return serial.Serial(path, baudrate=baud, timeout=READ_S, write_timeout=WRITE_S, exclusive=True)
    except (OSError, ValueError) as error:
        raise TransportError(f"{path}: {_hint(error)}") from None


def _hint(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _HINTS:
        return _HINTS[number]
    text = str(error).splitlines()[0]
    return _HINTS[errno.ENOTTY] if "could not configure port" in text.lower() else f"cannot be opened ({text})"


def _watched(path: str, port: serial.Serial) -> ByteStream:
    import termios

    descriptor = port.fileno()
    attributes: list[Any] = termios.tcgetattr(descriptor)
    attributes[2] &= ~termios.HUPCL
    # pyserial sets VMIN 0, with which reading from a port that has nothing looks like reading from one that is gone.
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)

    def outside() -> int:
        import fcntl

        with contextlib.suppress(OSError):
            return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4))[0])
        return 0

    def release() -> None:
        # Closing waits up to 30 s for a peer that takes nothing, unless there is nothing to take.
        with contextlib.suppress(termios.error):
            termios.tcflush(descriptor, termios.TCOFLUSH)
        port.close()

    return DescriptorStream(path, descriptor, release, outside)


class _SerialPort:
    """A serial port for the threads."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port

    def read(self) -> bytes:
        return bytes(self._port.read(max(1, min(self._port.in_waiting, 4096))))

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def cancel(self) -> None:
        with contextlib.suppress(OSError):
            self._port.cancel_read()
            self._port.cancel_write()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._port.close()
