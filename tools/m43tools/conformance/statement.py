"""The capability statement: what a lens says it is, as TOML that its maker edits, and cases that hold it to that."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from m43proto.encodings import F_NUMBER
from m43proto.errors import M43Error
from m43proto.lensdb import find_lens
from m43proto.messages import Identify, LinkCapability, ReadLensData, StabilisationStatus, Status
from m43tools.conformance.model import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from m43proto.events import MessageSeen
    from m43tools.conformance.trace import Ask, Trace

__all__ = [
    "UNTOLD",
    "StatementError",
    "declared",
    "declared_absent",
    "differences",
    "read_statement",
    "statement_of",
    "statement_toml",
    "told_by",
]

_KEYS: dict[str, dict[str, type]] = {
    "identity": {"maker": int, "model": str, "submodel": str, "serial": str, "firmware": str},
    "link": {"capability": str, "lens_data_bytes": int},
    "optics": {
        "widest_aperture_f": float,
        "narrowest_aperture_f": float,
        "aperture_drive": bool,
        "zoom": bool,
        "power_zoom": bool,
    },
    "focus": {"rest": int, "far": int, "drive": bool, "motor": str},
    "stabilisation": {"present": bool},
}
"""Every key that a statement may hold."""

UNTOLD = {
    "optics.power_zoom": "no message that is known tells whether a motor zooms",
    "focus.motor": "no message that is known tells the kind of the focus motor",
}
"""Keys that can be declared for the reader of a report, but that nobody can hold a lens to; with the reason."""

_GATES = {
    "aperture": "optics.aperture_drive",
    "focus": "focus.drive",
    "zoom": "optics.zoom",
    "stabilisation": "stabilisation.present",
}
"""Tags of cases that have no place with a lens that is declared to lack something; which key says so."""

_HEAD = f"""\
# Capability statement of a lens, made from its own answers ({FORMAT}).
# Edit it to say what the lens should be; m43 conform --statement FILE holds the lens to it.
# A key that is left out is not compared. What is declared false is not tested: its cases are NOT_APPLICABLE.
# These can be declared, too, but not compared:
{"".join(f"#   {key}: {why}" + chr(10) for key, why in UNTOLD.items())}"""


class StatementError(M43Error):
    """A capability statement cannot be used; the text is one line that says what to do."""


def statement_of(*traces: Trace) -> dict[str, dict[str, Any]]:
    """Return what a lens said of itself in some traffic; keys of which it said nothing are left out."""
    found: dict[str, Any] = {}
    for trace in traces:
        found = told_by(trace) | found
    tables: dict[str, dict[str, Any]] = {}
    for table, keys in _KEYS.items():
        told = {key: found[f"{table}.{key}"] for key in keys if f"{table}.{key}" in found}
        if told:
            tables[table] = told
    return tables


def told_by(trace: Trace) -> dict[str, Any]:
    """Return what a lens said of itself in one piece of traffic, by ``table.key``."""
    return {name: value for facts in _FACTS for name, value in facts(trace)}


def _identity_facts(trace: Trace) -> Iterator[tuple[str, Any]]:
    for event in trace.identities[:1]:
        assert isinstance(event.message, Identify)
        identity = event.message
        yield from ((f"identity.{key}", getattr(identity, key)) for key in _KEYS["identity"])
        lens = find_lens(identity.maker, identity.model, identity.submodel)
        if lens is not None and lens.focal_min_mm > 0:
            yield "optics.zoom", lens.focal_max_mm > lens.focal_min_mm


def _link_facts(trace: Trace) -> Iterator[tuple[str, Any]]:
    for event in trace.named(LinkCapability)[:1]:
        yield "link.capability", event.transaction.data.hex()
    for event in trace.named(ReadLensData)[:1]:
        yield "link.lens_data_bytes", len(event.transaction.data)


def _status_facts(trace: Trace) -> Iterator[tuple[str, Any]]:
    statuses = [_status(event) for event in trace.statuses]
    if not statuses:
        return
    yield "optics.widest_aperture_f", round(min(one.aperture_f for one in statuses), 2)
    if len({one.zoom_step for one in statuses}) > 1:
        yield "optics.zoom", True
    yield "focus.rest", statuses[0].focus_position
    if len({one.focus_position for one in statuses}) > 1:
        yield "focus.far", max(one.focus_position for one in statuses)


_BEYOND_F = 45.0
"""An aperture that no lens on record has: one that is told to go there stops at its narrowest."""

_NEAR_WORDS, _NEAR_COUNTS = 64, 20
"""How far a drive must lead, in aperture words and in counts of focus, to tell whether anything moves."""


def _drive_facts(trace: Trace) -> Iterator[tuple[str, Any]]:
    sets = [ask for ask in trace.drives if ask.drive.aperture_operation == "set" and ask.statuses]
    for ask in sets:
        if ask.drive.aperture_f > _BEYOND_F:
            yield "optics.narrowest_aperture_f", round(_status(ask.statuses[-1]).aperture_f, 2)
    moves = [ask for ask in trace.drives if ask.drive.focus_operation == "move" and ask.statuses]
    led = [_led(trace, ask, _word, F_NUMBER.encode(ask.drive.aperture_f), _NEAR_WORDS) for ask in sets]
    yield from _any("optics.aperture_drive", led)
    led = [_led(trace, ask, _place, ask.drive.focus_target, _NEAR_COUNTS) for ask in moves]
    yield from _any("focus.drive", led)


def _any(name: str, led: list[bool | None]) -> Iterator[tuple[str, Any]]:
    told = [one for one in led if one is not None]
    if told:
        yield name, any(told)


def _led(trace: Trace, ask: Ask, of: Callable[[MessageSeen], int], target: int, near: int) -> bool | None:
    """Return whether a drive moved something; None where it stood near its target already, or nobody saw it."""
    before = [event for event in trace.statuses if event.end_ns <= ask.seen.t_ns]
    if not before or abs(of(before[-1]) - target) <= near:
        return None
    return any(of(event) != of(before[-1]) for event in ask.statuses)


def _word(event: MessageSeen) -> int:
    return int(F_NUMBER.encode(_status(event).aperture_f))


def _place(event: MessageSeen) -> int:
    return _status(event).focus_position


def _status(event: MessageSeen) -> Status:
    assert isinstance(event.message, Status)
    return event.message


def _stabiliser_facts(trace: Trace) -> Iterator[tuple[str, Any]]:
    """Tell of a stabiliser by the placeholder: a lens without one answers it with an empty block."""
    told = [event for event in trace.whole if event.kind is StabilisationStatus]
    if told:
        yield "stabilisation.present", any(event.transaction.data for event in told)


_FACTS = (_identity_facts, _link_facts, _status_facts, _drive_facts, _stabiliser_facts)


def statement_toml(statement: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a statement as the text of a TOML file."""
    tables = [
        f"\n[{table}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in entries.items())
        for table, entries in statement.items()
    ]
    return _HEAD + "".join(tables)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'
    return repr(value)


def read_statement(path: Path) -> dict[str, Any]:
    """Return the statement of a file.

    Raises:
        StatementError: it is no TOML, or holds a key that no statement has, or a value of another kind.
        OSError: it cannot be read.
    """
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StatementError(f"{path}: no TOML: {error}") from None
    for table, entries in held.items():
        if table not in _KEYS or not isinstance(entries, dict):
            raise StatementError(f"{path}: there is no table [{table}]; tables: {', '.join(_KEYS)}")
        for key, value in entries.items():
            _demand(path, table, key, value)
    return held


def _demand(path: Path, table: str, key: str, value: object) -> None:
    kind = _KEYS[table].get(key)
    if kind is None:
        raise StatementError(f"{path}: [{table}] has no key {key}; keys: {', '.join(_KEYS[table])}")
    fits = type(value) in (int, float) if kind is float else type(value) is kind
    if not fits:
        raise StatementError(f"{path}: [{table}] {key} is {value!r}; write a value of kind {kind.__name__}")


_NEAR: dict[str, Callable[[Any, Any], bool]] = {
    "optics.widest_aperture_f": lambda one, other: abs(one - other) <= 0.02 * other,
    "optics.narrowest_aperture_f": lambda one, other: abs(one - other) <= 0.02 * other,
    "focus.rest": lambda one, other: abs(one - other) <= 4,
    "focus.far": lambda one, other: abs(one - other) <= 4,
}
"""Keys whose values need not be the same to the last digit."""


def declared(statement: Mapping[str, Any], names: Collection[str] = ()) -> dict[str, Any]:
    """Return what a statement declares by ``table.key``; only some names, when there are any."""
    flat = {f"{table}.{key}": value for table, entries in statement.items() for key, value in entries.items()}
    return {name: value for name, value in flat.items() if not names or name in names}


def declared_absent(statement: Mapping[str, Any], tags: Collection[str]) -> str:
    """Return which key declares that the lens lacks what cases with such tags need; empty where none does."""
    flat = declared(statement)
    return next((_GATES[tag] for tag in tags if tag in _GATES and flat.get(_GATES[tag]) is False), "")


def differences(wanted: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """Return where a lens is not what is declared, both by ``table.key``, in words; only what both tell is compared."""
    return [
        "[{}] {}: declared {!r}, found {!r}".format(*name.split("."), value, told[name])
        for name, value in wanted.items()
        if name in told and not _NEAR.get(name, lambda one, other: bool(one == other))(told[name], value)
    ]
