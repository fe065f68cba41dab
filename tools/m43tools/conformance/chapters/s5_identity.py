"""Chapter 5: what a lens says of itself: identity, link capability, lens data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from m43proto.lensdb import find_lens, lenses
from m43proto.messages import Identify, LinkCapability, ReadC2F3, ReadLensData
from m43tools.conformance.judging import Case, Finding, every, nothing
from m43tools.conformance.recovery import ended
from m43tools.conformance.statement import differences
from m43tools.conformance.stimuli import STIMULI

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen
    from m43proto.schema import Message
    from m43tools.conformance.judging import Context
    from m43tools.conformance.trace import Trace

__all__ = ["CASES"]


def _size(kind: type[Message], size: int, clause: str) -> Callable[[Trace, Context], Finding]:
    def wrong(event: MessageSeen) -> str | None:
        found = len(event.transaction.data)
        return None if found == size else f"{event.name}: {found} data bytes"

    return lambda trace, context: every(
        trace.named(kind), wrong, clause, f"{size} data bytes", what=f"blocks of {kind.spec.name}"
    )


def _data(kind: type[Message], data: str, clause: str) -> Callable[[Trace, Context], Finding]:
    def wrong(event: MessageSeen) -> str | None:
        found = event.transaction.data
        return None if found == bytes.fromhex(data) else f"{event.name}: {found.hex(' ')}"

    return lambda trace, context: every(
        trace.named(kind), wrong, clause, f"the bytes {data}", what=f"blocks of {kind.spec.name}"
    )


def _same(kind: type[Message], clause: str, what: str) -> Callable[[Trace, Context], Finding]:
    """Judge that a block is the same each time; once is no occasion."""

    def judge(trace: Trace, context: Context) -> Finding:
        told = trace.named(kind)
        expected = f"the same {what} each time"
        if len(told) < 2:
            return nothing(expected, f"{len(told)} blocks")
        first = told[0].transaction.data

        def wrong(event: MessageSeen) -> str | None:
            found = event.transaction.data
            return None if found == first else f"{found[:24].hex(' ')} behind {first[:24].hex(' ')}"

        return every(told, wrong, clause, expected, what="blocks")

    return judge


def _identity(
    test: Callable[[Any], bool], clause: str, expected: str, *fields: str
) -> Callable[[Trace, Context], Finding]:
    """Judge a field of the identity, read as `m43proto.messages.Identify` reads it."""

    def wrong(event: MessageSeen) -> str | None:
        if test(event.message):
            return None
        return ", ".join(f"{name} {event.values[name]!r}" for name in fields)

    return lambda trace, context: every(trace.identities, wrong, clause, expected, what="identities")


def _bcd(text: str) -> bool:
    return text.isascii() and text.isdecimal()


_MAKERS = {lens.maker for lens in lenses()}


def _printable(identity: Identify) -> bool:
    serial = identity.serial
    return bool(serial.strip()) and all(" " <= char <= "~" for char in serial)


def _firmware(identity: Identify) -> bool:
    digits = identity.firmware.replace(".", "")
    return _bcd(digits) and int(digits) > 0


def _declared(trace: Trace, context: Context) -> Finding:
    expected = "what the capability statement declares"
    if not context.statement:
        return Finding(expected, "", 0, inapplicable="no capability statement was given (--statement FILE)")
    told = trace.identities[:1]

    def wrong(event: MessageSeen) -> str | None:
        return "; ".join(differences(context.statement, trace)) or None

    return every(told, wrong, "C5.2-10", expected, what="statements")


def _answered(kind: type[Message], clause: str) -> Callable[[Trace, Context], Finding]:
    def wrong(event: MessageSeen) -> str | None:
        return None if ended(event.transaction) else f"{event.name} broke off"

    return lambda trace, context: every(
        [event for event in trace.messages if event.kind is kind], wrong, clause, "a whole block", what=kind.spec.name
    )


TOUR = STIMULI["tour"]
DATA = STIMULI["lens data"]
_I = ("identity",)

# fmt: off
CASES = (
    Case("IDN-001", "The identity has 20 bytes.", ("C5.2-1",), TOUR, _size(Identify, 20, "C5.2-1"), _I),
    Case("IDN-002", "The maker is a known one.", ("C5.2-2",), TOUR, _identity(lambda one: one.maker in _MAKERS, "C5.2-2", f"one of {sorted(_MAKERS)}", "maker"), _I),
    Case("IDN-003", "The model is BCD.", ("C5.2-3",), TOUR, _identity(lambda one: _bcd(one.model), "C5.2-3", "two decimal digits", "model"), _I),
    Case("IDN-004", "The sub-model tells the mount.", ("C5.2-4",), TOUR, _identity(lambda one: _bcd(one.submodel) and one.submodel[0] in "01", "C5.2-4", "two decimal digits, the first 0 or 1", "submodel"), _I),
    Case("IDN-005", "The serial number is printable.", ("C5.2-5",), TOUR, _identity(_printable, "C5.2-5", "printable ASCII, padded with NUL", "serial"), _I),
    Case("IDN-006", "The firmware version has its form.", ("C5.2-6",), TOUR, _identity(_firmware, "C5.2-6", "four decimal digits, not 0.000", "firmware"), _I),
    Case("IDN-007", "The identity stays.", ("C5.2-7",), STIMULI["rewake"], _same(Identify, "C5.2-7", "identity"), _I),
    Case("IDN-008", "The identity is that of a lens on record.", ("C5.2-8",), TOUR, _identity(lambda one: find_lens(one.maker, one.model, one.submodel) is not None, "C5.2-8", "a lens that bodies have stored (m43 lenses)", "maker", "model", "submodel"), _I),
    Case("IDN-009", "Two bytes of the identity are 00 00.", ("C5.2-9",), TOUR, _identity(lambda one: one.unknown_4 == bytes(2), "C5.2-9", "00 00", "unknown_4"), _I),
    Case("IDN-010", "The lens is what its statement declares.", ("C5.2-10",), TOUR, _declared, (*_I, "statement")),
    Case("CAP-001", "LinkCapability has four bytes.", ("C5.1-1",), TOUR, _size(LinkCapability, 4, "C5.1-1")),
    Case("CAP-002", "LinkCapability is as in the one lens known.", ("C5.1-2",), TOUR, _data(LinkCapability, "0a10c409", "C5.1-2")),
    Case("CAP-003", "LinkCapability stays.", ("C5.1-3",), TOUR, _same(LinkCapability, "C5.1-3", "capability")),
    Case("CAP-004", "ReadLensData is as long as on record.", ("C5.7-1",), DATA, _size(ReadLensData, 2238, "C5.7-1")),
    Case("CAP-005", "ReadLensData stays.", ("C5.7-2",), DATA, _same(ReadLensData, "C5.7-2", "lens data")),
    Case("CAP-006", "C2 F3 is answered.", ("C5.7-3",), STIMULI["C2 F3"], _answered(ReadC2F3, "C5.7-3")),
)
# fmt: on
