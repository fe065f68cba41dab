"""``pico:PORT``: a board with sigrok-pico as a live source, continuous.

Some 300 kB/s go over its USB, so what it can follow depends on how dense the traffic is; when it overflows, that is
told, and recording starts again. At the end it says how many bytes it has sent, which is compared.
"""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING

from m43drivers.analyser.live import Reader
from m43drivers.analyser.model import AnalyserError, Notice, NoticeKind
from m43drivers.analyser.options import channels_of, known_options
from m43drivers.analyser.pico import FIRST_LINE, Board, End, PicoDecoder, board_of
from m43drivers.analyser.port import GoneError, Port, asking
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from m43drivers.capture.times import period_ns
from m43drivers.streams.serialport import BAUD

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.analyser.model import Piece, Settings

__all__ = ["PicoReader", "greet", "pico"]

DEFAULT_HZ = Fraction(4_000_000)
USUAL_CHANNELS = 7
SLOWEST_HZ, FASTEST_HZ = 5_000, 120_000_000
MOST_SAMPLES = 2_000_000_000

RESET, ABORT, CONTINUOUS = b"*", b"+", b"C\n"
ATTEMPTS = 3
ANSWER_S = 1.0
SETTLE_S = 0.5
TRAILER_S = 0.6
SILENCE_S = 2.0
HALF_BUFFER = 1_000_000
"""How long nothing may come, beyond the time of half of the largest buffer: a board sends when half of it is full."""


def pico(address: str, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> PicoReader:
    """Return the reader of a board that has said what it is, and has taken all settings.

    Raises:
        AnalyserError: there is none at the port, or it refuses a setting.
    """
    source = f"pico:{address}"
    known_options(source, settings, ())
    if not address:
        raise AnalyserError("pico: expected pico:PORT; m43 analysers lists the ports")
    rate_hz = settings.rate_hz or DEFAULT_HZ
    if rate_hz.denominator != 1 or not SLOWEST_HZ <= rate_hz <= FASTEST_HZ:
        raise AnalyserError(
            f"{source}: expected a rate of 5 kHz to 120 MHz in whole hertz, found {float(rate_hz):g} Hz"
        )
    port = Port(address, BAUD, clock)
    with asking(port, source, keep=True):
        board = _identify(port, source)
        channels = channels_of(source, settings, USUAL_CHANNELS, board.channels)
        reader = PicoReader(source, port, board, rate_hz, channels, clock)
        reader.configure()
    return reader


def greet(path: str) -> Board:
    """Ask whatever is at a port whether it is a board with sigrok-pico; this sends it bytes.

    Raises:
        AnalyserError: it is none, or the port cannot be opened.
    """
    port = Port(path, BAUD)
    with asking(port, f"pico:{path}", keep=False):
        return _identify(port, f"pico:{path}")


def _identify(port: Port, source: str) -> Board:
    answer = b""
    for _ in range(ATTEMPTS):
        port.write(RESET)
        port.settle(SETTLE_S)
        port.write(b"i\n")
        answer = port.read_until(lambda data: board_of(data) is not None, ANSWER_S)
        board = board_of(answer)
        if board is not None:
            return board
    found = repr(answer[:24].decode("ascii", "backslashreplace")) if answer else "nothing"
    raise AnalyserError(
        f"{source}: expected a board with sigrok-pico (SRPICO,...), found {found}; is it the right port?"
    )


class PicoReader(Reader):
    """Reads a board.

    Args:
        source: what the user calls it.
        port: where it is.
        board: what it said of itself.
        rate_hz: samples per second.
        channels: how many, from the first on.
        clock: seconds.
    """

    def __init__(
        self, source: str, port: Port, board: Board, rate_hz: Fraction, channels: int, clock: Callable[[], float]
    ) -> None:
        self.labels = tuple(Label(f"D{FIRST_LINE + bit}", (f"GP{FIRST_LINE + bit}",)) for bit in range(channels))
        self.tick_ns = period_ns(rate_hz)
        self.sample_rate_hz = float(rate_hz)
        self.provenance = Provenance(source, "sigrok-pico", {"version": board.version})
        self._source = source
        self._port = port
        self._board = board
        self._rate_hz = rate_hz
        self._channels = channels
        self._clock = clock
        self._decoder = PicoDecoder(channels)

    def configure(self) -> None:
        """Send all settings; the board answers each that it takes.

        Raises:
            AnalyserError: it does not take one.
            GoneError: the port is gone.
        """
        self._ordered(f"R{int(self._rate_hz)}", f"{float(self._rate_hz):g} Hz")
        self._ordered(f"L{MOST_SAMPLES}", "the number of samples")
        for bit in range(self._board.channels):
            self._ordered(f"D{int(bit < self._channels)}{bit:02d}", f"channel D{FIRST_LINE + bit}")

    def start(self) -> None:
        """Have it record and send."""
        try:
            self._port.write(CONTINUOUS)
        except GoneError as error:
            raise AnalyserError(f"{self._source}: the port is gone ({error})") from None
        self._began_s = self._heard_s = self._clock()

    def read(self) -> list[Piece | Notice]:
        """Return what came."""
        try:
            data = self._port.read()
            if data:
                self._heard_s = self._clock()
                return self._taken(data)
        except GoneError as error:
            return self._lost(f"the port is gone ({error})")
        if self._clock() - self._heard_s > SILENCE_S + HALF_BUFFER / self.sample_rate_hz:
            return self._lost("it does not send any more; plug it out and in again")
        return []

    def finish(self) -> list[Piece | Notice]:
        """Stop it, take what was under way, and compare the counts of bytes."""
        items: list[Piece | Notice] = []
        try:
            self._port.write(ABORT)
            end = self._clock() + TRAILER_S
            while self._clock() < end and self._decoder.counted is None:
                piece = self._decoder.feed(self._port.read())
                items += [] if piece is None else [piece]
        except GoneError as error:
            return items + self._lost(f"the port is gone ({error})")
        return items + self._checked()

    def close(self) -> None:
        """Let go of the port."""
        self._port.close()

    def _ordered(self, order: str, what: str) -> None:
        self._port.write(f"{order}\n".encode())
        answer = self._port.read_until(lambda data: b"*" in data, ANSWER_S)
        if b"*" not in answer:
            found = repr(answer[:16]) if answer else "nothing"
            raise AnalyserError(f"{self._source}: the board does not take {what} ({order}); it answered {found}")

    def _taken(self, data: bytes) -> list[Piece | Notice]:
        piece = self._decoder.feed(data)
        items: list[Piece | Notice] = [] if piece is None else [piece]
        if self._decoder.end is End.OVERFLOW:
            items.append(self._restarted(NoticeKind.OVERFLOW, "the board ran over; a lower rate may help"))
        elif self._decoder.end is End.GARBAGE:
            items.append(self._restarted(NoticeKind.DAMAGE, "the board sent what is no sample"))
        elif self._decoder.end is End.COUNTED and self._decoder.counted is not None:
            items += self._checked()
            items.append(self._restarted(NoticeKind.GAP, "the board ended by itself, and was started again"))
        return items

    def _checked(self) -> list[Piece | Notice]:
        if self._decoder.count_is_right is not False:
            return []
        here = self._decoder.finder.position
        text = f"the board sent {self._decoder.counted} bytes, and {self._decoder.received} came"
        return [Notice(NoticeKind.DAMAGE, here, here, False, text)]

    def _restarted(self, kind: NoticeKind, text: str) -> Notice:
        """Start again; the gap is as long as the clock says."""
        finder = self._decoder.finder
        begin = finder.position
        self._port.write(RESET)
        self._port.settle(SETTLE_S)
        self._port.write(CONTINUOUS)
        self._decoder = PicoDecoder(self._channels)
        self._decoder.finder = finder
        self._heard_s = self._clock()
        until = max(begin, int((self._heard_s - self._began_s) * self.sample_rate_hz))
        finder.skip(until - begin)
        return Notice(kind, begin, until, False, text)

    def _lost(self, text: str) -> list[Piece | Notice]:
        self.ended = True
        return [Notice(NoticeKind.LOST, self._decoder.finder.position, None, True, text)]
