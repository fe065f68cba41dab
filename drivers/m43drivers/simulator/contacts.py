"""A simulated lens at the contacts of a transport: whole transactions on virtual bus time, with every way to break off.

`LinkContacts` exchanges bytes, without pins. `PinContacts` runs a body and a lens at the pins, edge by edge; only there
can faults of the pins strike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from m43drivers.simulator.faults import FaultKind
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.link import LensLink
from m43drivers.simulator.pins import pin_lens
from m43drivers.transport import Break, Outcome
from m43proto.ends import PinBody, Script
from m43proto.messages import PUBLIC
from m43proto.mount import Mount
from m43proto.pins import Role
from m43proto.session import TIMEOUTS, Wait
from m43proto.shapes import LENGTH_SIZE
from m43proto.timing import BodyTiming, LensTiming
from m43proto.turns import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43drivers.simulator.faults import Faults
    from m43drivers.simulator.profiles import Profile
    from m43proto.catalogue import Catalogue
    from m43proto.events import TransactionSeen
    from m43proto.exchange import Transfer

__all__ = ["Contacts", "EmptyContacts", "LinkContacts", "PinContacts", "contacts_of", "missing_from"]

_LONGEST_NS = 20_000_000_000
"""Longer than any transaction of a body that limits every wait."""


class Contacts(ABC):
    """What a bridge does at the contacts of the mount."""

    @abstractmethod
    def power(self, now_ns: int, *, on: bool) -> tuple[bool, int]:
        """Raise or drop SLEEP; return whether the lens gave its wake pulse, and when the next command may come."""

    @abstractmethod
    def transact(self, transfers: Sequence[Transfer], now_ns: int) -> Outcome:
        """Carry out one transaction."""


def contacts_of(
    profile: Profile,
    faults: Faults,
    catalogue: Catalogue = PUBLIC,
    *,
    body: BodyTiming | None = None,
    lens: LensTiming | None = None,
    pins: bool = False,
) -> tuple[SimulatedLens, Contacts]:
    """Return a simulated lens, and the contacts that it sits on.

    Args:
        profile: which lens.
        faults: what it does wrong; faults of the pins need pins, and get them.
        catalogue: the messages that it knows.
        body: the delays of the body.
        lens: the delays of the lens.
        pins: whether to go over the pins in any case.
    """
    glass = SimulatedLens(profile, faults, catalogue)
    timings = body or BodyTiming(), lens or LensTiming()
    if pins or faults.of(FaultKind.PINS):
        return glass, PinContacts(glass, catalogue, *timings)
    return glass, LinkContacts(glass, catalogue, *timings)


def missing_from(transfers: Sequence[Transfer], said: bytes) -> int:
    """Return how many bytes the lens still owes, by the turns of a transaction; negative when it said too many."""
    wanted = at = 0
    for transfer in transfers:
        if transfer.sender is Role.BODY:
            continue
        if transfer.phase is Phase.READ_DATA:
            length = said[at - LENGTH_SIZE : at]
            wanted += max(int.from_bytes(length, "little") - 1, 0)
        else:
            wanted += transfer.size or 0
        at = wanted
    return wanted - len(said)


class LinkContacts(Contacts):
    """Bytes, and as much time as they would take.

    Args:
        glass: the lens.
        catalogue: the messages that it knows.
        body: steady delays of the body.
        lens: steady delays of the lens.
    """

    def __init__(self, glass: SimulatedLens, catalogue: Catalogue, body: BodyTiming, lens: LensTiming) -> None:
        self._link = LensLink(glass, catalogue=catalogue, body=body, lens=lens)
        self._on = False

    def power(self, now_ns: int, *, on: bool) -> tuple[bool, int]:
        """Raise or drop SLEEP."""
        self._on = on
        if on:
            return True, self._link.power_up(now_ns)[1]
        self._link.power_down(now_ns)
        return False, now_ns

    def transact(self, transfers: Sequence[Transfer], now_ns: int) -> Outcome:
        """Carry out one transaction."""
        if not self._on:
            return _silence(now_ns)
        said, end_ns = self._link.transact(transfers, now_ns)
        busy_limit_ns = TIMEOUTS[Wait.BUSY].limit_ns
        if transfers[-1].phase is Phase.STATUS and end_ns - now_ns > busy_limit_ns:
            return Outcome(now_ns, now_ns + busy_limit_ns, said[:1], Break.BUSY)
        if missing_from(transfers, said) > 0:
            return Outcome(now_ns, end_ns + TIMEOUTS[Wait.ANSWER].limit_ns, said, Break.SILENT)
        return Outcome(now_ns, end_ns, said)


class EmptyContacts(Contacts):
    """No lens, or one without electronics."""

    def power(self, now_ns: int, *, on: bool) -> tuple[bool, int]:
        """Raise or drop SLEEP; nothing answers."""
        return False, now_ns + (TIMEOUTS[Wait.WAKE_PULSE].limit_ns if on else 0)

    def transact(self, transfers: Sequence[Transfer], now_ns: int) -> Outcome:
        """Ask for attention in vain."""
        return _silence(now_ns)


def _silence(now_ns: int) -> Outcome:
    return Outcome(now_ns, now_ns + TIMEOUTS[Wait.ANSWER].limit_ns, b"", Break.NO_ANSWER)


class PinContacts(Contacts):
    """A body and a lens at the pins.

    Args:
        glass: the lens.
        catalogue: the messages that it knows.
        body: the delays of the body.
        lens: the delays of the lens.
    """

    def __init__(self, glass: SimulatedLens, catalogue: Catalogue, body: BodyTiming, lens: LensTiming) -> None:
        self._body = PinBody(body, lambda end: end.pause(1), catalogue.shape_of)
        self._mount = Mount(self._body, pin_lens(glass, lens, catalogue.shape_of))

    def power(self, now_ns: int, *, on: bool) -> tuple[bool, int]:
        """Raise or drop SLEEP."""
        woke: list[bool] = []

        def script(body: PinBody) -> Script[None]:
            if on:
                woke.append((yield from body.power_up()))
            else:
                yield from body.power_down()

        end_ns = self._run(script, now_ns)
        return woke == [True], end_ns

    def transact(self, transfers: Sequence[Transfer], now_ns: int) -> Outcome:
        """Carry out one transaction."""
        seen: list[TransactionSeen | None] = []
        block = b"".join(one.data for one in transfers if one.phase is Phase.WRITE_DATA)

        def script(body: PinBody) -> Script[None]:
            seen.append((yield from body.transact(transfers[0].data, block)))

        end_ns = self._run(script, now_ns)
        [transaction] = seen
        wire = () if transaction is None else transaction.wire
        said = bytes(byte.value for byte in wire if byte.sender is Role.LENS)
        return Outcome(now_ns, end_ns, said, _break_of(transaction, transfers, said))

    def _run(self, script: object, now_ns: int) -> int:
        mount, body = self._mount, self._body
        for _ in mount.run(now_ns):
            pass
        body.begin(script)  # type: ignore[arg-type]
        mount.rouse(body, now_ns)
        for _ in mount.run(mount.now_ns + _LONGEST_NS, through=body):
            pass
        return max(mount.now_ns, now_ns)


def _break_of(transaction: TransactionSeen | None, transfers: Sequence[Transfer], said: bytes) -> Break | None:
    if transaction is not None and transaction.complete:
        return None
    if not said:
        return Break.NO_ANSWER
    if transaction is not None and transaction.length == 0:
        return Break.LENGTH
    return Break.BUSY if transfers[-1].phase is Phase.STATUS else Break.SILENT
