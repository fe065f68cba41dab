"""What the encodings need of construct, which programs with a Python of their own do not have."""

from __future__ import annotations

__all__ = ["Adapter", "Bytes", "Divided", "GreedyBytes", "Int8ul", "Int16sl", "Int16ul", "Integer", "SizeofError"]


class SizeofError(Exception):
    """A layout has an open end."""


class Integer:
    """An integer of some bytes."""

    def __init__(self, size, order, signed):
        self._size = size
        self._order = order
        self._signed = signed

    def sizeof(self):
        """Return its bytes on the wire."""
        return self._size

    def parse(self, data):
        """Return its value."""
        return int.from_bytes(data, self._order, signed=self._signed)


class Divided:
    """An integer that counts parts of a unit."""

    def __init__(self, integer, divisor):
        self._integer = integer
        self._divisor = divisor

    def sizeof(self):
        """Return its bytes on the wire."""
        return self._integer.sizeof()

    def parse(self, data):
        """Return its value in the unit."""
        return self._integer.parse(data) / self._divisor


class Bytes:
    """Bytes that stay bytes; None for an open end."""

    def __init__(self, size):
        self._size = size

    def sizeof(self):
        """Return its bytes on the wire."""
        if self._size is None:
            raise SizeofError
        return self._size

    def parse(self, data):
        """Return them."""
        return bytes(data)


class Adapter:
    """A layout around another one, which decodes its value."""

    def __init__(self, subcon):
        self._subcon = subcon

    def sizeof(self):
        """Return its bytes on the wire."""
        return self._subcon.sizeof()

    def parse(self, data):
        """Return the decoded value."""
        return self._decode(self._subcon.parse(data), None, None)


Int8ul = Integer(1, "little", signed=False)
Int16ul = Integer(2, "little", signed=False)
Int16sl = Integer(2, "little", signed=True)
GreedyBytes = Bytes(None)
