"""Contacts of a bridge that are simulated: a body and a lens at the pins of a `Mount`, on virtual time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from m43drivers.bridge.firmware import firmware
from m43proto.ends import PinBody
from m43proto.mount import Mount
from m43proto.pins import Line, Role
from m43proto.shapes import LENGTH_SIZE, Shape
from m43proto.timing import BodyTiming

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.bridge.ears import SimulatedEars
    from m43drivers.bridge.probe import Pins
    from m43proto.ends import PinLens, Script
    from m43proto.events import TransactionSeen

__all__ = ["SimulatedContacts"]

_SHAPES = tuple(Shape)
_NONE, _NO_ANSWER, _SILENT, _BUSY, _LENGTH = range(5)

_STEP_NS = 50_000
_US = 1_000

ANSWER_LIMIT_NS = 40_000_000
"""How long the bridge waits for each answer of the lens, as its firmware does on a board."""


_GIVE_UP_NS = 20_000
"""Pause behind a transaction that broke off; the firmware needs about as long to start its state machine anew."""


class _BridgeBody(PinBody):
    """A body that sets SHUTTER when it is told to, and lets go at once when the lens does not answer."""

    def set_shutter(self, level: int) -> Script[None]:
        self._set(Line.SHUTTER.mask, level)
        yield 0

    def _give_up(self) -> Script[None]:
        self.drives &= ~Line.DATA.mask
        self._set(Line.CLK.mask, 1)
        self._set(Line.BODY_ACK.mask, 0)
        yield _GIVE_UP_NS


class SimulatedContacts:
    """What the firmware's `Bridge` asks of its hardware, with a lens that is simulated.

    Bus time is virtual: a transaction takes as long as it would at the pins, and no wall time but what it costs to
    reckon. `advance` lets the time pass in which nothing is asked.

    Args:
        lens: the lens at the contacts.
        stand: makes pins to probe a lens with, each time anew; None for contacts that cannot.
        ears: makes what hears other ends than this lens, each time anew; None for contacts that cannot.
    """

    def __init__(
        self,
        lens: PinLens,
        stand: Callable[[], Pins] | None = None,
        ears: Callable[[], SimulatedEars] | None = None,
    ) -> None:
        self._stand = stand
        self._ears = ears
        self._job: Callable[[PinBody], Script[None]] | None = None
        self._until_ns = 0
        self._shape = Shape.SET
        timing = dataclasses.replace(BodyTiming(), watches_acks=True, answer_limit_ns=ANSWER_LIMIT_NS)
        self._body = _BridgeBody(timing, self._serve, lambda command: self._shape)
        self._mount = Mount(self._body, lens)
        self._woke = False
        self._seen: TransactionSeen | None = None
        self._end_ns = 0

    def _serve(self, body: PinBody) -> Script[None]:
        while True:
            if self._job is not None:
                yield from self._job(body)
                self._end_ns = body.now_ns
                self._job = None
            yield max(self._until_ns - body.now_ns, 1)

    def _do(self, job: Callable[[PinBody], Script[None]]) -> None:
        """Let the body do something, to its end."""
        self._job = job
        began_ns = self._mount.now_ns
        while self._job is not None:
            self.advance(max(_STEP_NS, (self._mount.now_ns - began_ns) // 16))

    def advance(self, for_ns: int) -> None:
        """Let time pass."""
        self._until_ns = self._mount.now_ns + for_ns
        for _ in self._mount.run(self._until_ns):
            pass
        self._mount.now_ns = max(self._mount.now_ns, self._until_ns)

    # what the firmware asks

    def now_us(self) -> int:
        """Return the virtual time."""
        return self._mount.now_ns // _US

    def power(self, on: bool) -> bool:
        """Raise SLEEP and see the wake pulse, or drop it; return whether the lens gave its wake pulse."""
        self._woke = False
        self._do(self._wake if on else PinBody.power_down)
        return self._woke

    def _wake(self, body: PinBody) -> Script[None]:
        self._woke = yield from body.power_up()

    def transact(self, command: bytes, shape: int, block: bytes) -> tuple[int, int, int, bytes]:
        """Carry out one transaction; see the firmware's `Contacts.transact`."""
        self._shape = _SHAPES[shape]
        start_us = self.now_us()

        def job(body: PinBody) -> Script[None]:
            self._seen = yield from body.transact(command, block)

        self._do(job)
        seen = self._seen
        if seen is None:
            return _NO_ANSWER, start_us, self._end_ns // _US, b""
        said = bytes(byte.value for byte in seen.wire if byte.sender is Role.LENS)
        return self._broke_off(seen, said), start_us, self._end_ns // _US, said

    def _broke_off(self, seen: TransactionSeen, said: bytes) -> int:
        if seen.complete:
            return _NONE
        if seen.shape is Shape.READ and said[1:] == bytes(LENGTH_SIZE):
            return _LENGTH
        busy = seen.shape is Shape.COMPLETE and len(said) == 1 and self._mount.levels & Line.LENS_ACK.mask
        return _BUSY if busy else _SILENT

    def shutter(self, level: int) -> None:
        """Set SHUTTER."""
        self._do(lambda body: self._body.set_shutter(level))

    def focus(self) -> None:
        """Change the level of FOCUS."""
        self._do(PinBody.toggle_focus)

    def probe(self) -> Pins:
        """Return pins to probe a lens with, at their time 0.

        A probe has a virtual time of its own, which stands still while nothing is to be carried out: the clock on the
        wall has no say in it, so the same programs give the same edges.
        """
        if self._stand is None:
            bridge = firmware()
            raise bridge.RefusedError(bridge.UNABLE, "these contacts carry out whole transactions only")
        return self._stand()

    def listen(self) -> SimulatedEars:
        """Return what hears a body and a lens, at their time 0; their virtual time is their own, as that of a probe."""
        if self._ears is None:
            bridge = firmware()
            raise bridge.RefusedError(bridge.UNABLE, "there is no simulated body to listen to; start it with --body")
        return self._ears()

    def self_test(self) -> tuple[int, str]:
        """Tell that there is no hardware to test."""
        return 0, "simulated contacts: nothing to test"
