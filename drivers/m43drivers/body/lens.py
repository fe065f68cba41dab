"""The handle of one lens: what a phone's firmware calls."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from m43drivers.body.drives import APERTURE, FOCUS
from m43drivers.body.errors import DriveStalledError, LensRefusedError
from m43drivers.body.status import BoundedStream, LensStatus
from m43proto.encodings import F_NUMBER
from m43proto.errors import EncodeError
from m43proto.lensdb import find_lens
from m43proto.messages import Drive, SetFocusRing, SetStabilisation
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, Shape

if TYPE_CHECKING:
    from m43drivers.body.driver import BodyDriver
    from m43drivers.body.errors import LensError
    from m43proto.events import MessageSeen
    from m43proto.lensdb import Lens as LensRow
    from m43proto.messages import Identify

__all__ = ["Capabilities", "Lens"]

STATUSES_HELD = 64
"""How many statuses wait for a slow reader before the oldest go."""

SMALLEST_F = 32.0
"""No lens is asked for a smaller aperture than this (provisional); what a lens's own smallest is, no message tells."""

APPROACHES = 6
"""How often the focus is corrected on its way to a distance before that counts as missed."""

PROBE_COUNTS = 25
"""How far the focus is moved to learn how distance follows position, when only one pair of them is known."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is known of a lens beside its identity: from the lens database, not from the wire.

    Attributes:
        name: its name, or an empty string for a lens that the database has not.
        focal_min_mm: shortest focal length.
        focal_max_mm: longest focal length.
        widest_f: widest aperture at the short end.
        widest_tele_f: widest aperture at the long end.
        link: the four bytes of its LinkCapability, which nobody has decoded.
    """

    name: str = ""
    focal_min_mm: float | None = None
    focal_max_mm: float | None = None
    widest_f: float | None = None
    widest_tele_f: float | None = None
    link: bytes = b""


class Lens:
    """One lens on the mount; ends with the lens.

    Attributes:
        driver: what drives it.
        identity: its identity message, or None for a lens that does not answer.
        capabilities: what is known of it beside that.
        status: the latest status; for a lens that does not answer, what a person has said of it; None before the first.
        ended: whether another lens, or none, has taken its place.
    """

    def __init__(self, driver: BodyDriver, identity: Identify | None, link: bytes = b"") -> None:
        self.driver = driver
        self.identity = identity
        row = None if identity is None else find_lens(identity.maker, identity.model, identity.submodel)
        self.capabilities = _capabilities(row, link)
        self.status: LensStatus | None = None
        self.ended = False
        self._error: LensError | None = None
        self._readers: WeakSet[BoundedStream[LensStatus]] = WeakSet()
        self._pairs: dict[int, float] = {}

    # statuses

    def statuses(self) -> BoundedStream[LensStatus]:
        """Return a stream of the statuses from now on; the oldest go when its reader is too slow (`dropped`)."""
        stream: BoundedStream[LensStatus] = BoundedStream(STATUSES_HELD)
        if self.ended:
            stream.end(self._error)
            return stream
        self._readers.add(stream)
        self.driver.adjust_polling()
        return stream

    async def status_now(self) -> LensStatus:
        """Poll once, and return what the lens says."""
        self.demand()
        return await self.driver.status_now(self)

    @property
    def has_readers(self) -> bool:
        """Whether anybody follows its statuses."""
        return any(not reader.ended for reader in self._readers)

    def take(self, status: LensStatus) -> None:
        """Take a status from the driver."""
        self.status = status
        if status.focus_position is not None and status.focus_distance_m is not None:
            self._learn(status.focus_position, status.focus_distance_m)
        for reader in list(self._readers):
            reader.put(status)

    def still(self, t_ns: int) -> None:
        """Take note that the latest status was still true at this time."""
        if self.status is not None:
            self.status = replace(self.status, t_ns=t_ns)

    def end(self, error: LensError | None) -> None:
        """End the handle."""
        self.ended, self._error = True, error
        for reader in list(self._readers):
            reader.end(error)
        self._readers.clear()

    def demand(self) -> None:
        """Raise what fits when the lens cannot be driven as it stands.

        Raises:
            LensError: the lens sleeps, is being started anew, or the handle has ended.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        self.driver.demand_up()

    # a lens that does not answer

    def describe(self, *, focal_length_mm: float | None = None, aperture_f: float | None = None) -> None:
        """Say what a lens that does not answer is set to; `status` then carries it.

        Raises:
            LensRefusedError: the lens answers, and knows better.
        """
        if self.identity is not None:
            raise LensRefusedError("this lens answers; what it is set to comes from itself")
        now_ns = self.driver.transport.now_ns()
        self.take(LensStatus(now_ns, aperture_f=aperture_f, focal_length_mm=focal_length_mm))

    # aperture

    async def set_aperture(
        self,
        f: float | None = None,
        *,
        av: float | None = None,
        wide_open: bool = False,
        clamp: bool = False,
        wait: bool = True,
    ) -> LensStatus | None:
        """Set the aperture.

        The drive is over when successive statuses agree, and well over when the effective aperture is then near enough:
        inferred, for nobody knows which bit of the status means "moving".

        Args:
            f: the f-number; or
            av: the same as APEX value, 2 log2(f); or
            wide_open: as far as the lens opens at the present focal length. It is asked for the widest aperture that it
                has at any, and its own limit ends the drive.
            clamp: take the lens's limit instead of refusing what lies behind it.
            wait: whether to wait for the end; without, nobody is told of an error in which the drive ends.

        Returns:
            the status in which it ended; None without waiting.

        Raises:
            LensRefusedError: out of the range of the lens, or not given just once; nothing was sent.
            DriveError: it did not end where it should.
            LensError: the lens cannot be driven.
        """
        self.demand()
        if (f is not None) + (av is not None) + wide_open != 1:
            raise LensRefusedError("give the aperture once: as f, as av, or as wide_open=True")
        widest = max(self.capabilities.widest_f or 1.0, 1.0)
        wanted = widest if wide_open else self._allowed(_f_number(av) if f is None else f, widest, clamp=clamp)
        message = Drive(aperture_operation="set", aperture_f=wanted)
        target = None if wide_open else F_NUMBER.encode(wanted) / 256
        return await self.driver.drive(self, message, APERTURE, target, wait=wait)

    def _allowed(self, f: float, widest: float, *, clamp: bool) -> float:
        if not math.isfinite(f) or f <= 0:
            raise LensRefusedError(f"an aperture is a number above 0, not {f}")
        nearest = min(max(f, widest), SMALLEST_F)
        if nearest != f and not clamp:
            raise LensRefusedError(
                f"f/{f:g} is out of range: this lens goes from f/{widest:g}, at most to f/{SMALLEST_F:g}"
            )
        return nearest

    # focus

    async def focus_to(
        self, position: int | None = None, *, distance_m: float | None = None, wait: bool = True
    ) -> LensStatus | None:
        """Move the focus to a position, or to a distance.

        No message tells how distance follows position; for a distance it is learned from the statuses, on the way
        (inferred: position is linear in dioptres for the one lens that is known). So a distance is always waited for.

        Args:
            position: counts; or
            distance_m: metres; infinity for infinity.
            wait: whether to wait for the end.

        Returns:
            the status in which it ended; None without waiting.

        Raises:
            LensRefusedError: neither or both are given, or it is no such value.
            DriveError: it did not end where it should, for instance at an end stop before that.
            LensError: the lens cannot be driven.
        """
        self.demand()
        if (position is None) is (distance_m is None):
            raise LensRefusedError("give the focus as a position or as a distance in metres")
        if position is not None:
            return await self._move(position, wait=wait)
        assert distance_m is not None
        if distance_m <= 0 or math.isnan(distance_m):
            raise LensRefusedError(f"a distance is a number of metres above 0, not {distance_m}")
        if math.isinf(distance_m):
            return await self.focus_infinity(wait=wait)
        if not wait:
            raise LensRefusedError("a distance is approached in steps; wait for it, or give a position")
        return await self._approach(distance_m)

    async def focus_by(self, counts: int, *, wait: bool = True) -> LensStatus | None:
        """Move the focus by so many counts from where the latest status has it; as `focus_to`."""
        self.demand()
        return await self._move((await self._position()) + counts, wait=wait)

    async def focus_near(self, *, wait: bool = True) -> LensStatus | None:
        """Run the focus to its near end stop; that a target of -32768 does it is inferred. As `focus_to`."""
        self.demand()
        return await self._scan(-0x8000, wait=wait)

    async def focus_infinity(self, *, wait: bool = True) -> LensStatus | None:
        """Run the focus to its far end stop, with the drive on record (inferred). As `focus_to`."""
        self.demand()
        return await self._scan(0x7FFF, wait=wait)

    async def stop_focus(self) -> None:
        """Stop the focus, before anything else that waits; drives of the focus that wait are not sent any more.

        No command that stops is public; the lens is polled, and the focus driven to where it then is (inferred). Drives
        of the focus end with `DriveSupersededError`.
        """
        self.demand()
        await self.driver.stop(self)

    async def _move(self, position: float, *, wait: bool) -> LensStatus | None:
        if not isinstance(position, int) or not -0x8000 <= position <= 0x7FFF:
            raise LensRefusedError(f"a focus position is an integer from -32768 to 32767, not {position}")
        message = Drive(focus_operation="move", focus_target=position)
        return await self.driver.drive(self, message, FOCUS, position, wait=wait)

    async def _scan(self, end: int, *, wait: bool) -> LensStatus | None:
        return await self.driver.drive(self, Drive(focus_operation="scan", focus_target=end), FOCUS, None, wait=wait)

    async def _position(self) -> int:
        status = self.status if self.status is not None else await self.status_now()
        return status.focus_position or 0

    async def _approach(self, distance_m: float) -> LensStatus | None:
        """Go nearer to a distance, each time by what the statuses until then have taught."""
        position = await self._position()
        status: LensStatus | None = None
        for _ in range(APPROACHES):
            position = self._position_of(distance_m, position)
            status = await self._move(position, wait=True)
            assert status is not None
            if status.focus_distance_m is not None and _near_enough(status.focus_distance_m, distance_m):
                return status
        reached = "unknown" if status is None or status.focus_distance_m is None else f"{status.focus_distance_m:g} m"
        raise DriveStalledError(f"{distance_m:g} m was not reached; the focus stands at {reached}", status)

    def _learn(self, position: int, distance_m: float) -> None:
        """Keep the widest apart of the pairs of position and distance that were seen."""
        if not math.isfinite(distance_m) or distance_m <= 0:
            return
        self._pairs[position] = distance_m
        if len(self._pairs) > 2:
            kept = (min(self._pairs), max(self._pairs), position)
            self._pairs = {at: self._pairs[at] for at in kept}

    def _position_of(self, distance_m: float, here: int) -> int:
        """Return where a distance should lie, by a line through the pair of positions that are known next to it."""
        known = sorted(self._pairs.items(), key=lambda pair: abs(1 / pair[1] - 1 / distance_m))
        if len(known) < 2:
            return here + PROBE_COUNTS
        (first, first_m), (second, second_m) = known[:2]
        if first_m == second_m:
            return here + PROBE_COUNTS
        per_dioptre = (second - first) / (1 / second_m - 1 / first_m)
        return min(max(round(first + per_dioptre * (1 / distance_m - 1 / first_m)), -0x8000), 0x7FFF)

    # the rest

    async def set_ring_direction(self, direction: str) -> None:
        """Set which way the focus follows the focus ring: ``forward`` or ``reverse``."""
        self.demand()
        if direction not in ("forward", "reverse"):
            raise LensRefusedError(f"a ring direction is forward or reverse, not {direction}")
        await self.driver.transact(self, SetFocusRing(ring_direction=direction))

    async def stabilise(self, mode: str, *, focal_length_mm: float, corrector: str = "lens") -> None:
        """Set the stabilisation, with placeholders of this project (provisional; specs/5-messages.md §5.8).

        Raises:
            LensRefusedError: the driver was not given the provisional catalogue.
        """
        self.demand()
        if self.driver.catalogue.find(SetStabilisation.spec.opcode) is None:
            raise LensRefusedError("no stabilisation command is public; give the driver the provisional catalogue")
        try:
            message = SetStabilisation(mode=mode, corrector=corrector, focal_length_mm=focal_length_mm)
            await self.driver.transact(self, message)
        except EncodeError as error:
            raise LensRefusedError(str(error)) from None

    async def raw(self, command: bytes, data: bytes = b"", *, unsafe: bool = False) -> MessageSeen:
        """Carry out any transaction; again, up to twice, when it goes wrong.

        One that belongs to the start-up takes the session back there; polls then lead out of it again.

        Args:
            command: its four command bytes.
            data: what to write behind it, for a command of shape write.
            unsafe: say True; what a lens makes of a command that nobody knows is unknown.

        Raises:
            LensRefusedError: `unsafe` is not True, the command has no known shape, or the data have no place.
        """
        self.demand()
        if not unsafe:
            raise LensRefusedError("what a lens makes of a raw command is unknown; say unsafe=True")
        shape = self.driver.catalogue.shape_of(command) if len(command) == COMMAND_SIZE else None
        if shape is None:
            raise LensRefusedError(f"{command.hex(' ') or 'nothing'} is no command of a known shape")
        if data and shape is not Shape.WRITE:
            raise LensRefusedError(f"{command.hex(' ')} is of shape {shape}; it takes no data")
        abilities = self.driver.abilities
        longest = 0 if abilities is None else abilities.longest_block - LENGTH_SIZE - 1
        if len(data) > longest:
            raise LensRefusedError(f"{len(data)} bytes are too many: this transport takes blocks of {longest}")
        return await self.driver.transact(self, bytes(command), bytes(data))

    async def sleep(self) -> None:
        """Put the lens to sleep; `wake` brings it back. As `BodyDriver.sleep`."""
        await self.driver.sleep()

    async def wake(self) -> Lens:
        """Wake the lens; return the handle of what is then on the mount, as `BodyDriver.wake`."""
        return await self.driver.wake()


def _f_number(av: float | None) -> float:
    """Return the f-number of an APEX value; infinite for one that is too large for any lens."""
    return 2 ** (av / 2) if av is not None and av < 100 else math.inf


def _near_enough(reached_m: float, wanted_m: float) -> bool:
    """Tell whether a distance is near enough: one count of 5 mm, or a fiftieth of a dioptre."""
    return abs(reached_m - wanted_m) <= 0.005 or (reached_m > 0 and abs(1 / reached_m - 1 / wanted_m) <= 0.02)


def _capabilities(row: LensRow | None, link: bytes) -> Capabilities:
    if row is None:
        return Capabilities(link=link)
    return Capabilities(
        row.name,
        _known(row.focal_min_mm),
        _known(row.focal_max_mm),
        _known(row.aperture_wide_f),
        _known(row.aperture_tele_f),
        link,
    )


def _known(figure: float) -> float | None:
    return figure if 0 < figure < math.inf else None
