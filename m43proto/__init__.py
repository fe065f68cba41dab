"""Open Micro Four Thirds lens-mount protocol: what the wire means.

Pure: no I/O, no clock, no logging. Bytes, levels and times go in; messages and events come out::

    from m43proto import PUBLIC, Connection
    from m43proto.messages import Status

    Status.request()                                        # the four command bytes of a poll
    Status.parse(bytes.fromhex(...)).aperture_f             # a field in its unit
    Connection(catalogue=PUBLIC).receive_levels(t_ns, levels)       # observe
    Connection(Role.BODY).send(Status.request(), now_ns)            # take part
"""

from m43proto.catalogue import Catalogue
from m43proto.connection import Connection
from m43proto.encodings import Encoding, choice, raw
from m43proto.errors import DeclarationError, DecodeError, EncodeError, LocalProtocolError, M43Error
from m43proto.evidence import Evidence
from m43proto.lensdb import Lens, find_lens
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.pins import LINES, Line, Role
from m43proto.schema import Message, argument, message, status, wire
from m43proto.shapes import Shape
from m43proto.states import State

__all__ = [
    "LINES",
    "PROVISIONAL",
    "PUBLIC",
    "Catalogue",
    "Connection",
    "DeclarationError",
    "DecodeError",
    "EncodeError",
    "Encoding",
    "Evidence",
    "Lens",
    "Line",
    "LocalProtocolError",
    "M43Error",
    "Message",
    "Role",
    "Shape",
    "State",
    "argument",
    "choice",
    "find_lens",
    "message",
    "raw",
    "status",
    "wire",
]
