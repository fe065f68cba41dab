"""Events -> a pcapng file, which Wireshark reads: a packet per transaction, pin event, violation, fragment and remark.

The blocks and options are those of the pcapng specification (IETF draft-ietf-opsawg-pcapng): section header, interface
description and enhanced packet blocks, little-endian. The link type is USER0; times are nanoseconds from the start of
the capture.
"""

from __future__ import annotations

import struct
from importlib.metadata import version
from typing import TYPE_CHECKING, BinaryIO

from m43proto.pins import Role
from m43tools.render.packets import packet_of, packet_of_remark

if TYPE_CHECKING:
    from m43proto.events import Event
    from m43tools.render.packets import Packet
    from m43tools.render.remarks import Remark

__all__ = ["LINK_TYPE", "PcapngWriter"]

LINK_TYPE = 147
"""LINKTYPE_USER0: for private use, so it means this project's packets only to who agrees."""

_SECTION_HEADER = 0x0A0D0D0A
_INTERFACE_DESCRIPTION = 1
_ENHANCED_PACKET = 6

_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_UNKNOWN_LENGTH = -1

_COMMENT = 1
_USER_APPLICATION = 4
_INTERFACE_NAME = 2
_INTERFACE_TIME_RESOLUTION = 9
_PACKET_FLAGS = 2

_NANOSECONDS = bytes([9])

_DIRECTIONS = {None: 0, Role.LENS: 1, Role.BODY: 2}
"""The direction bits of the packet flags, as the body sees it: inbound is what the lens tells, outbound the rest."""


class PcapngWriter:
    """A packet per event.

    Args:
        stream: where to.
        capture: the name of the interface.
    """

    def __init__(self, stream: BinaryIO, capture: str) -> None:
        self._stream = stream
        application = _option(_USER_APPLICATION, f"m43proto {version('m43proto')}".encode())
        head = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH)
        self._stream.write(_block(_SECTION_HEADER, head + _options(application)))
        name = _option(_INTERFACE_NAME, capture.encode())
        resolution = _option(_INTERFACE_TIME_RESOLUTION, _NANOSECONDS)
        interface = struct.pack("<HHI", LINK_TYPE, 0, 0)
        self._stream.write(_block(_INTERFACE_DESCRIPTION, interface + _options(name, resolution)))

    def write(self, event: Event) -> None:
        """Write one event."""
        self._write(packet_of(event))

    def write_remark(self, remark: Remark) -> None:
        """Write what a live source adds to the events."""
        self._write(packet_of_remark(remark))

    def close(self) -> None:
        """Write nothing more."""

    def _write(self, packet: Packet) -> None:
        """Write a packet as one whole block."""
        size = len(packet.data)
        head = struct.pack("<IIIII", 0, packet.t_ns >> 32, packet.t_ns & 0xFFFF_FFFF, size, size)
        flags = _option(_PACKET_FLAGS, struct.pack("<I", _DIRECTIONS[packet.sender]))
        comments = [_option(_COMMENT, comment.encode()) for comment in packet.comments]
        self._stream.write(_block(_ENHANCED_PACKET, head + _padded(packet.data) + _options(flags, *comments)))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _options(*options: bytes) -> bytes:
    return b"".join(options) + struct.pack("<HH", 0, 0)


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size
