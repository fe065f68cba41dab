"""The project's errors, and whose fault each one is.

::

    M43Error                    everything that m43proto, m43drivers and m43tools raise on purpose
    ├── DeclarationError        a message, catalogue or table is declared wrongly (also a ValueError)
    ├── DecodeError             bytes do not fit the layout they are read by (also a ValueError)
    ├── EncodeError             a value does not fit the wire (also a ValueError)
    └── LocalProtocolError      an end wants to say what has no place in its session

Errors of libraries (construct above all) never leave the room that called them.
"""

__all__ = ["DeclarationError", "DecodeError", "EncodeError", "LocalProtocolError", "M43Error"]


class M43Error(Exception):
    """Base of every error that this project raises on purpose; its text is one line for a person."""


class DeclarationError(M43Error, ValueError):
    """A message, field or catalogue is declared in a way that cannot work; the text names the declaration."""


class DecodeError(M43Error, ValueError):
    """Bytes do not fit the layout they are read by.

    Attributes:
        data: the bytes, whole.
        section: the section of ``specs/`` that states the layout, or an empty string.
    """

    def __init__(self, message: str, *, data: bytes = b"", section: str = "") -> None:
        super().__init__(message)
        self.data = data
        self.section = section


class EncodeError(M43Error, ValueError):
    """A value does not fit the wire field it is meant for; the text names field, value and range."""


class LocalProtocolError(M43Error):
    """An end wants to say what has no place in the session as it stands; nothing has been sent."""
