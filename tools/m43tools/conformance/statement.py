"""The capability statement: what a lens says it is, as TOML that its maker edits, and a case that holds it to that."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from m43proto.errors import M43Error
from m43proto.messages import Identify, LinkCapability, ReadLensData, Status
from m43tools.conformance.model import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from m43tools.conformance.trace import Trace

__all__ = ["StatementError", "differences", "read_statement", "statement_of", "statement_toml"]

_HEAD = f"""\
# Capability statement of a lens, made from its own answers ({FORMAT}).
# Edit it to say what the lens should be; m43 conform --statement FILE holds the lens to it.
# A key that is left out is not compared.
"""

_KEYS: dict[str, dict[str, type]] = {
    "identity": {"maker": int, "model": str, "submodel": str, "serial": str, "firmware": str},
    "link": {"capability": str, "lens_data_bytes": int},
    "optics": {"widest_aperture_f": float, "zoom": bool},
    "focus": {"rest": int, "far": int},
}
"""Every key that a statement may hold."""


class StatementError(M43Error):
    """A capability statement cannot be used; the text is one line that says what to do."""


def statement_of(trace: Trace) -> dict[str, dict[str, Any]]:
    """Return what a lens said of itself in some traffic; keys of which it said nothing are left out."""
    found: dict[str, dict[str, Any]] = {}
    for table, key, value in _facts(trace):
        found.setdefault(table, {})[key] = value
    return found


def _facts(trace: Trace) -> Iterator[tuple[str, str, Any]]:
    for event in trace.identities[:1]:
        assert isinstance(event.message, Identify)
        yield from (("identity", key, getattr(event.message, key)) for key in _KEYS["identity"])
    for event in trace.named(LinkCapability)[:1]:
        yield "link", "capability", event.transaction.data.hex()
    for event in trace.named(ReadLensData)[:1]:
        yield "link", "lens_data_bytes", len(event.transaction.data)
    statuses = [event.message for event in trace.statuses if isinstance(event.message, Status)]
    if statuses:
        yield "optics", "widest_aperture_f", round(min(one.aperture_f for one in statuses), 2)
        if len({one.zoom_step for one in statuses}) > 1:
            yield "optics", "zoom", True
        yield "focus", "rest", statuses[0].focus_position
        if len({one.focus_position for one in statuses}) > 1:
            yield "focus", "far", max(one.focus_position for one in statuses)


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
    "widest_aperture_f": lambda one, other: abs(one - other) <= 0.02 * other,
    "rest": lambda one, other: abs(one - other) <= 4,
    "far": lambda one, other: abs(one - other) <= 4,
}
"""Keys whose values need not be the same to the last digit."""


def differences(statement: Mapping[str, Any], trace: Trace) -> list[str]:
    """Return where a lens is not what a statement declares, in words; only what both tell is compared."""
    told = statement_of(trace)
    return [
        f"[{table}] {key}: declared {wanted!r}, found {found!r}"
        for table, entries in statement.items()
        for key, wanted in entries.items()
        if (found := told.get(table, {}).get(key)) is not None
        and not _NEAR.get(key, lambda one, other: bool(one == other))(found, wanted)
    ]
