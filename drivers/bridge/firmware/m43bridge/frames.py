"""Frames of the link: COBS over number, kind, payload and CRC, with a zero behind (specs/11-bridge-link.md)."""

ANSWER_BIT = 0x80

_HEAD = 2
_CRC = 2
_GROUP = 254


def _crc_table() -> list[int]:
    """Return CRC-16/CCITT-FALSE of each byte: polynomial 0x1021, not reflected."""
    table = []
    for value in range(256):
        crc = value << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
        table.append(crc & 0xFFFF)
    return table


_TABLE = _crc_table()


def crc16(data: bytes) -> int:
    """Return the CRC of bytes; it begins with 0xFFFF."""
    crc = 0xFFFF
    for value in data:
        crc = ((crc << 8) & 0xFFFF) ^ _TABLE[crc >> 8 ^ value]
    return crc


def stuffed(data: bytes) -> bytes:
    """Return data without zeros: each zero, and each run of 254 other bytes, becomes the distance to the next."""
    out = bytearray()
    at = 0
    groups = data.split(b"\0")
    for group in groups:
        at = 0
        while len(group) - at >= _GROUP:
            out.append(_GROUP + 1)
            out.extend(group[at : at + _GROUP])
            at += _GROUP
        out.append(len(group) - at + 1)
        out.extend(group[at:])
    if at and at == len(groups[-1]):
        return bytes(out[:-1])
    return bytes(out)


def unstuffed(data: bytes) -> bytes | None:
    """Return what `stuffed` was given, or None for what it never makes."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            return None
        out.extend(data[at + 1 : at + code])
        at += code
        if code <= _GROUP and at < len(data):
            out.append(0)
    return bytes(out)


def encode(seq: int, kind: int, payload: bytes = b"") -> bytes:
    """Return a whole frame, with the zero that ends it."""
    body = bytes([seq, kind]) + payload
    return stuffed(body + crc16(body).to_bytes(_CRC, "little")) + b"\0"


class Decoder:
    """Turns a stream of bytes into frames; it never raises, and finds its way again at the next zero.

    Args:
        longest: bytes of the longest body that it takes.

    Attributes:
        bad: how many times bytes between two zeros were no frame.
    """

    def __init__(self, longest: int) -> None:
        self.bad = 0
        self._longest = longest + longest // _GROUP + 1
        self._held = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Take bytes as they come; return the frames that they complete as sequence number, kind and payload."""
        frames = []
        parts = data.split(b"\0")
        for part in parts[:-1]:
            self._hold(part)
            if self._held:
                frame = self._frame()
                if frame is None:
                    self.bad += 1
                else:
                    frames.append(frame)
            self._held = bytearray()
            self._overlong = False
        self._hold(parts[-1])
        return frames

    def _hold(self, part: bytes) -> None:
        room = self._longest - len(self._held)
        if len(part) > room:
            self._overlong = True
        self._held.extend(part[:room])

    def _frame(self) -> tuple[int, int, bytes] | None:
        body = None if self._overlong else unstuffed(bytes(self._held))
        if body is None or len(body) < _HEAD + _CRC:
            return None
        content = body[:-_CRC]
        if crc16(content) != body[-2] | body[-1] << 8:
            return None
        return content[0], content[1], content[_HEAD:]
