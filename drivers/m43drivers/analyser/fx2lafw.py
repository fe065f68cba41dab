"""``fx2lafw[:SERIAL]``: an FX2 analyser as a live source.

Samples come as an unframed stream, and the FX2 holds no more than 2 KiB of them: 85 µs at 24 MHz. So transfers must
wait for it at all times, which pyusb cannot do: it has one at a time, and none between two. Measured with a decoder at
work in the same process (``tests/benchmarks/usbreading.py``), that is 5 ms and more. So a session is held over libusb1,
with 32 transfers in flight; finding the analyser and loading its firmware stay with pyusb.

When the FX2 overflows it stops and says nothing. So silence is the sign: it is told with the tick after the last
sample, and recording is started again.
"""

from __future__ import annotations

import contextlib
import errno
import time
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from m43drivers.analyser.changes import PackedChanges
from m43drivers.analyser.fx2 import (
    ENDPOINT,
    GET_CHIP,
    GET_VERSION,
    IN_FLIGHT,
    MAJOR,
    REQUEST_IN,
    REQUEST_OUT,
    START,
    start_request,
    transfer_bytes,
)
from m43drivers.analyser.fx2usb import explained, ready, usable
from m43drivers.analyser.live import Reader
from m43drivers.analyser.model import AnalyserError, Notice, NoticeKind
from m43drivers.analyser.options import channels_of, known_options
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from m43drivers.capture.times import period_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.analyser.fx2usb import Found
    from m43drivers.analyser.model import Piece, Settings

__all__ = ["Fx2Reader", "fx2lafw"]

DEFAULT_HZ = Fraction(8_000_000)
USUAL_CHANNELS = 8

INTERFACE = 0
CONTROL_MS = 1000
WAIT_S = 0.05
CANCEL_S = 0.5
MOST_VAIN = 3
INTERRUPTED = -10
SILENCE_S = 0.2
"""How long nothing may come before it counts as an overflow, beyond four transfers' time."""


def fx2lafw(address: str, settings: Settings) -> Fx2Reader:
    """Return the reader of an analyser, with its firmware loaded.

    Raises:
        AnalyserError: there is none, it cannot be used, or a setting is none of it.
    """
    known_options("fx2lafw", settings, ())
    found = usable(address)
    channels = channels_of("fx2lafw", settings, USUAL_CHANNELS, found.model.channels)
    rate_hz = settings.rate_hz or DEFAULT_HZ
    request = start_request(rate_hz, _unit(channels))
    return Fx2Reader(ready(found), rate_hz, channels, request.data)


def _unit(channels: int) -> int:
    return 1 if channels <= 8 else 2


class Fx2Reader(Reader):
    """Reads an FX2 analyser.

    Args:
        found: the analyser, its firmware loaded.
        rate_hz: samples per second.
        channels: how many, from the first on.
        start_data: the data of the request that starts a recording.
        clock: seconds.
    """

    def __init__(
        self,
        found: Found,
        rate_hz: Fraction,
        channels: int,
        start_data: bytes,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        unit = _unit(channels)
        self.labels = tuple(Label(f"D{bit}", (str(bit),)) for bit in range(channels))
        self.tick_ns = period_ns(rate_hz)
        self.sample_rate_hz = float(rate_hz)
        self.provenance = Provenance(
            f"fx2lafw:{found.serial}".removesuffix(":"), "fx2lafw", {"model": found.model.name}
        )
        self._found = found
        self._rate_hz = rate_hz
        self._changes = PackedChanges(unit, channels)
        self._size = transfer_bytes(rate_hz, unit)
        self._start_data = start_data
        self._clock = clock
        self._patience_s = SILENCE_S + 4 * self._size / (float(rate_hz) * unit)
        self._came: list[bytes] = []
        self._failed: str | None = None
        self._transfers: list[Any] = []
        self._flying = 0
        self._cancelling = False
        self._vain = 0
        self._context: Any = None
        self._handle: Any = None

    def start(self) -> None:
        """Open the analyser, and start it once transfers wait for it."""
        usb1 = _libusb1()
        self._usb_error = usb1.USBError
        self._failures = _failures(usb1)
        try:
            self._open(usb1)
            self._submit_all()
            self._send_start()
        except usb1.USBError as error:
            raise explained(_numbered(error), self._found.usb_id) from None
        self._began_s = self._heard_s = self._clock()

    def read(self) -> list[Piece | Notice]:
        """Return what came."""
        self._wait()
        items = self._taken()
        if self._failed is not None:
            return [*items, self._lost(self._failed)]
        if items:
            self._heard_s, self._vain = self._clock(), 0
        elif self._clock() - self._heard_s > self._patience_s:
            return [self._restarted()]
        return items

    def finish(self) -> list[Piece | Notice]:
        """Call the transfers back, and return what had come."""
        self._cancel_all()
        return self._taken()

    def close(self) -> None:
        """Let go of the analyser."""
        if self._context is None:
            return
        with contextlib.suppress(self._usb_error):
            self._cancel_all()
        handle, self._handle = self._handle, None
        context, self._context = self._context, None
        with contextlib.suppress(self._usb_error):
            if handle is not None:
                handle.close()
        context.close()

    def _open(self, usb1: Any) -> None:
        self._context = usb1.USBContext()
        self._context.open()
        place = (self._found.bus, self._found.address)
        devices = self._context.getDeviceList(skip_on_error=True)
        device = next((one for one in devices if (one.getBusNumber(), one.getDeviceAddress()) == place), None)
        if device is None:
            raise AnalyserError("fx2lafw: the analyser was unplugged")
        self._handle = device.open()
        self._handle.claimInterface(INTERFACE)
        version = bytes(self._handle.controlRead(REQUEST_IN, GET_VERSION, 0, 0, 2, CONTROL_MS))
        chip = bytes(self._handle.controlRead(REQUEST_IN, GET_CHIP, 0, 0, 1, CONTROL_MS))
        if len(version) != 2 or version[0] != MAJOR:
            told = ".".join(map(str, version)) or "nothing"
            raise AnalyserError(
                f"fx2lafw: expected firmware {MAJOR}.x in the analyser, found {told}; plug it out and in again"
            )
        details = {"model": self._found.model.name, "firmware": f"{version[0]}.{version[1]}", "chip": chip.hex()}
        self.provenance = replace(self.provenance, details=details)

    def _submit_all(self) -> None:
        for _ in range(IN_FLIGHT):
            transfer = self._handle.getTransfer()
            transfer.setBulk(ENDPOINT, self._size, callback=self._done)
            self._transfers.append(transfer)
            transfer.submit()
            self._flying += 1

    def _send_start(self) -> None:
        self._handle.controlWrite(REQUEST_OUT, START, 0, 0, self._start_data, CONTROL_MS)

    def _wait(self) -> None:
        """Let libusb work for a while; a signal that this thread happens to get is no failure."""
        try:
            self._context.handleEventsTimeout(WAIT_S)
        except self._usb_error as error:
            if error.value != INTERRUPTED:
                self._failed = self._failed or str(error)

    def _done(self, transfer: Any) -> None:
        """Take what a transfer brought, and let it wait for more; called by libusb."""
        self._flying -= 1
        size = transfer.getActualLength()
        if size:
            self._came.append(bytes(transfer.getBuffer()[:size]))
        failure = self._failures.get(transfer.getStatus())
        if failure is not None:
            self._failed = self._failed or failure
        elif self._failed is None and not self._cancelling:
            self._submit(transfer)

    def _submit(self, transfer: Any) -> None:
        try:
            transfer.submit()
        except self._usb_error as error:
            self._failed = str(error)
        else:
            self._flying += 1

    def _taken(self) -> list[Piece | Notice]:
        came, self._came = self._came, []
        pieces = map(self._changes.feed, came)
        return [piece for piece in pieces if piece is not None]

    def _lost(self, text: str) -> Notice:
        self.ended = True
        return Notice(NoticeKind.LOST, self._changes.finder.position, None, True, text)

    def _restarted(self) -> Notice:
        """Start again after an overflow; the gap is as long as the clock says."""
        begin = self._changes.finder.position
        self._changes.cut()
        self._vain += 1
        if self._vain > MOST_VAIN:
            return self._lost(f"the analyser was started {MOST_VAIN} times in vain; plug it out and in again")
        try:
            self._send_start()
        except self._usb_error:
            return self._lost("the analyser stopped sending: it overflowed, and does not start again; plug it in anew")
        now_s = self._clock()
        until = max(begin, int((now_s - self._began_s) * self.sample_rate_hz))
        self._changes.finder.skip(until - begin)
        self._heard_s = now_s
        return Notice(NoticeKind.OVERFLOW, begin, until, False, "its buffer ran over; a lower rate may help")

    def _cancel_all(self) -> None:
        self._cancelling = True
        for transfer in self._transfers:
            with contextlib.suppress(self._usb_error):
                transfer.cancel()
        end = self._clock() + CANCEL_S
        while self._flying and self._clock() < end:
            self._wait()
        self._transfers.clear()


def _libusb1() -> Any:
    try:
        import usb1
    except ImportError:
        raise AnalyserError(
            "fx2lafw: expected the Python package libusb1, which streams without losing samples; pip install libusb1"
        ) from None
    except OSError as error:
        raise AnalyserError(f"fx2lafw: libusb is not on this machine ({error}); install it") from None
    return usb1


def _failures(usb1: Any) -> dict[int, str]:
    """Say what the ends of transfers mean after which none comes."""
    return {
        usb1.TRANSFER_NO_DEVICE: "the analyser was unplugged",
        usb1.TRANSFER_STALL: "the analyser refuses to send (its endpoint stalled); plug it out and in again",
        usb1.TRANSFER_ERROR: "USB failed; the cable or a hub may be bad",
        usb1.TRANSFER_OVERFLOW: "the analyser sent more than it was asked for; plug it out and in again",
    }


def _numbered(error: Any) -> OSError:
    """Give an error of libusb1 the number of the system's error."""
    numbers = {-3: errno.EACCES, -4: errno.ENODEV, -6: errno.EBUSY}
    return OSError(numbers.get(error.value, errno.EIO), str(error))
