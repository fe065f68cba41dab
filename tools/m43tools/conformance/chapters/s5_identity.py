"""Chapter 5: what a lens says of itself: identity, link capability, lens data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from m43proto.lensdb import find_lens, lenses
from m43proto.messages import Identify, LinkCapability, ReadC2F3, ReadLensData
from m43tools.conformance.judging import Breach, Case, Finding, every, nothing
from m43tools.conformance.recovery import ended
from m43tools.conformance.statement import UNTOLD, declared, differences, told_by
from m43tools.conformance.stimuli import STIMULI

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


_ELSEWHERE = {
    "optics.narrowest_aperture_f",
    "optics.zoom",
    "stabilisation.present",
    "link.lens_data_bytes",
    *UNTOLD,
}
"""Keys of a statement that have a case of their own."""


def _declared(trace: Trace, context: Context) -> Finding:
    """Compare what the tour tells."""
    expected = "what the capability statement declares"
    if not context.statement:
        return Finding(expected, "", 0, inapplicable="no capability statement was given (--statement FILE)")
    wanted = {name: value for name, value in declared(context.statement).items() if name not in _ELSEWHERE}
    return _compared(trace, wanted, "C5.2-10", expected)


def _keeps(name: str, clause: str) -> Callable[[Trace, Context], Finding]:
    """Compare one key of the statement with what a stimulus of its own tells."""

    def judge(trace: Trace, context: Context) -> Finding:
        return _compared(trace, declared(context.statement, (name,)), clause, f"{name} as declared")

    return judge


def _compared(trace: Trace, wanted: Mapping[str, Any], clause: str, expected: str) -> Finding:
    """Hold what a lens told to what is declared; what it did not tell makes nobody a pass."""
    if not wanted:
        return Finding(expected, "", 0, inapplicable="the statement declares none of this")
    told = told_by(trace)
    texts = differences(wanted, told)
    untold = [name for name in wanted if name not in told]
    if untold and not texts:
        return nothing(expected, f"not told here: {', '.join(untold)}")
    shown = (trace.identities or trace.whole)[0]
    moment = (shown.t_ns, shown.end_ns)
    breaches = tuple(Breach(clause, *moment, text) for text in texts)
    observed = "; ".join(texts) or ", ".join(f"{name} {told[name]!r}" for name in wanted)
    return Finding(expected, observed, len(wanted), breaches, (), moment)


def _untold(trace: Trace, context: Context) -> Finding:
    """Say plainly what is declared and cannot be checked."""
    wanted = declared(context.statement, tuple(UNTOLD))
    reasons = [f"{name} {value!r} cannot be checked: {UNTOLD[name]}" for name, value in wanted.items()]
    return Finding("nothing that a lens can be held to", "; ".join(reasons), len(reasons), measures_only=True)


def _answered(kind: type[Message], clause: str) -> Callable[[Trace, Context], Finding]:
    def wrong(event: MessageSeen) -> str | None:
        return None if ended(event.transaction) else f"{event.name} broke off"

    return lambda trace, context: every(
        [event for event in trace.messages if event.kind is kind], wrong, clause, "a whole block", what=kind.spec.name
    )


TOUR = STIMULI["tour"]
DATA = STIMULI["lens data"]
_I = ("identity",)
_D = ("identity", "statement")

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
    Case("IDN-011", "The narrowest aperture is the one declared.", ("C5.2-11",), STIMULI["aperture ends"], _keeps("optics.narrowest_aperture_f", "C5.2-11"), _D, compares=("optics.narrowest_aperture_f",)),
    Case("IDN-012", "The lens zooms as declared.", ("C5.2-12",), TOUR, _keeps("optics.zoom", "C5.2-12"), _D, compares=("optics.zoom",)),
    Case("IDN-013", "The lens has a stabiliser as declared.", ("C5.2-13",), STIMULI["stabilisation"], _keeps("stabilisation.present", "C5.2-13"), (*_D, "provisional"), compares=("stabilisation.present",), doc="By the placeholder of the provisional catalogue: a simulated lens without a stabiliser answers it with an empty block. Without that catalogue nothing can be asked, and the case is INCONCLUSIVE where a stabiliser is declared."),
    Case("IDN-014", "The lens data are as long as declared.", ("C5.2-14",), DATA, _keeps("link.lens_data_bytes", "C5.2-14"), _D, compares=("link.lens_data_bytes",)),
    Case("IDN-015", "What is declared and cannot be checked.", ("C5.2-15",), TOUR, _untold, _D, compares=tuple(UNTOLD), measures=True),
    Case("CAP-001", "LinkCapability has four bytes.", ("C5.1-1",), TOUR, _size(LinkCapability, 4, "C5.1-1")),
    Case("CAP-002", "LinkCapability is as in the one lens known.", ("C5.1-2",), TOUR, _data(LinkCapability, "0a10c409", "C5.1-2")),
    Case("CAP-003", "LinkCapability stays.", ("C5.1-3",), TOUR, _same(LinkCapability, "C5.1-3", "capability")),
    Case("CAP-004", "ReadLensData is as long as on record.", ("C5.7-1",), DATA, _size(ReadLensData, 2238, "C5.7-1")),
    Case("CAP-005", "ReadLensData stays.", ("C5.7-2",), DATA, _same(ReadLensData, "C5.7-2", "lens data")),
    Case("CAP-006", "C2 F3 is answered.", ("C5.7-3",), STIMULI["C2 F3"], _answered(ReadC2F3, "C5.7-3")),
)
# fmt: on
