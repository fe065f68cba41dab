"""TCP connections as byte streams."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING, Any

from m43drivers.streams.base import CHUNK
from m43drivers.streams.descriptor import DescriptorStream
from m43drivers.streams.threaded import ThreadedStream
from m43drivers.transport import TransportError

if TYPE_CHECKING:
    from m43drivers.streams.base import ByteStream

__all__ = ["CONNECT_S", "open_tcp"]

CONNECT_S = 3.0
"""How long a connection may take to come about."""

READ_S = 0.1
WRITE_S = 4.5
"""How long a thread waits for bytes, and for a peer that takes none."""


async def open_tcp(host: str, port: int, *, threads: bool = os.name != "posix") -> ByteStream:
    """Connect to a TCP port.

    Args:
        host: name or address.
        port: its number.
        threads: read and write in threads, for event loops that cannot watch a descriptor.

    Raises:
        TransportError: nobody answers there; the text says what to do.
    """
    name = f"{host}:{port}"
    try:
        async with asyncio.timeout(CONNECT_S):
            connection = await _connected(host, port)
    except TimeoutError:
        raise TransportError(f"{name}: no answer within {CONNECT_S:g} s; is the address right?") from None
    except OSError as error:
        raise TransportError(f"{name}: cannot connect ({_reason(error)}); is the bridge running?") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if threads:
        return ThreadedStream(name, _SocketPort(connection))
    return DescriptorStream(name, connection.fileno(), connection.close)


async def _connected(host: str, port: int) -> socket.socket:
    """Try the addresses of a host, one after the other; raise what the last one raises."""
    loop = asyncio.get_running_loop()
    error: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            return await _connected_to(socket.socket(family, kind, protocol), address)
        except OSError as failed:
            error = failed
    raise error


async def _connected_to(connection: socket.socket, address: Any) -> socket.socket:
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def _reason(error: OSError) -> str:
    """Return the system's words; asyncio puts the address in their place, and names have numbers of their own."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)


class _SocketPort:
    """A connection for the threads."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(WRITE_S)
        self._connection = connection

    def read(self) -> bytes:
        if not select.select([self._connection], [], [], READ_S)[0]:
            return b""
        data = self._connection.recv(CHUNK)
        if not data:
            raise ConnectionResetError("closed by the other side")
        return data

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)

    def cancel(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()
