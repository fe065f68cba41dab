"""The transports: simulated, recorded, over a faulty link, and over a bridge."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from m43drivers.transport import TransportError
from m43drivers.transports.recording import RecordingTransport
from m43proto.messages import PUBLIC

if TYPE_CHECKING:
    from m43drivers.transport import Transport
    from m43proto.catalogue import Catalogue

__all__ = ["TRANSPORTS", "open_transport"]

TRANSPORTS: dict[str, tuple[str, str]] = {
    "sim": ("m43drivers.transports.sim:SimTransport", "sim:PROFILE, a simulated lens"),
    "serial": ("m43drivers.transports.bridge:serial_bridge", "serial:PORT[?baud=N], a bridge at a serial port"),
    "socket": ("m43drivers.transports.bridge:socket_bridge", "socket:HOST:PORT, a bridge in the network"),
    "loopback": ("m43drivers.transports.loopback:loopback_bridge", "loopback:PROFILE, a bridge in this process"),
    "replay": ("m43drivers.transports.replay:ReplayTransport", "replay:FILE, a recorded exchange"),
}
"""Schemes of a URL: where the transport is, and what stands behind the colon."""


def open_transport(url: str, *, catalogue: Catalogue = PUBLIC, record: str | None = None) -> Transport:
    """Return the transport of a URL, not opened yet.

    Args:
        url: ``SCHEME:ADDRESS``, such as ``sim:olympus-14-42``.
        catalogue: the messages that a simulated lens knows.
        record: a file to record the exchange to.

    Raises:
        TransportError: there is no such scheme, or the address is wrong.
    """
    scheme, colon, address = url.partition(":")
    if not colon or scheme not in TRANSPORTS:
        known = "; ".join(text for _, text in TRANSPORTS.values())
        raise TransportError(f"{url}: no such lens; write {known}")
    module, _, name = TRANSPORTS[scheme][0].partition(":")
    transport: Transport = getattr(import_module(module), name)(address, catalogue=catalogue)
    return transport if record is None else RecordingTransport(transport, Path(record))
