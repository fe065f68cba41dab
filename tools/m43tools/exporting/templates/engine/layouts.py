"""What the encodings need of construct, which programs with a Python of their own do not have."""

from __future__ import annotations

from .wires import Wire

__all__ = ["Divided", "Integer", "in_units", "layout_of", "size_of"]

_SIZES = {"b": 1, "h": 2, "i": 4, "q": 8}


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


class _Bytes:
    """Bytes that stay bytes; None for an open end."""

    def __init__(self, size):
        self._size = size

    def sizeof(self):
        """Return its bytes on the wire, or None."""
        return self._size

    def parse(self, data):
        """Return them."""
        return bytes(data)


class _Unit:
    """A wire value in its unit."""

    def __init__(self, layout, decode):
        self._layout = layout
        self._decode = decode

    def parse(self, data):
        """Return the decoded value."""
        return self._decode(self._layout.parse(data))


def layout_of(wire):
    """Return the layout of a wire value."""
    if not isinstance(wire, Wire):
        return wire
    if not wire.code:
        return _Bytes(wire.size)
    order, kind = wire.code
    return Integer(_SIZES[kind.lower()], "big" if order == ">" else "little", kind.islower())


def in_units(wire, decode, encode):
    """Return what parses values in units; nothing is built here."""
    return _Unit(layout_of(wire), decode)


def size_of(layout):
    """Return the bytes of a layout, or None for an open end."""
    return layout.sizeof()
