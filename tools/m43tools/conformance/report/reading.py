"""The JSON of a report -> the records of `m43tools.conformance.model`, with one clear line where it does not fit.

Keys that this version does not know are passed over: a later one may add some.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from m43proto.errors import M43Error
from m43tools.conformance.model import FORMAT, VERSION, Report

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ReportError", "hints_of", "read_report", "report_from"]


class ReportError(M43Error):
    """A report cannot be read; the text names the file, the place in it and what was expected there."""


def read_report(path: Path) -> Report:
    """Return the report that `m43 conform --json` wrote.

    Raises:
        ReportError: the file cannot be read, or holds no report of a version that this one reads.
    """
    try:
        return report_from(json.loads(path.read_bytes()))
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"{path}: no JSON: {error}; give a file that m43 conform --json wrote") from None
    except RecursionError:
        raise ReportError(f"{path}: nested too deep; give a file that m43 conform --json wrote") from None
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from None


def report_from(value: object) -> Report:
    """Return the report that `to_json` made these JSON values of.

    Raises:
        ReportError: they hold no report of a version that this one reads.
    """
    if not isinstance(value, Mapping) or value.get("format") != FORMAT:
        raise ReportError(f'no conformance report: the key "format" is not {FORMAT!r}')
    if value.get("version") != VERSION:
        raise ReportError(f"version {value.get('version')!r} of the form; this m43 reads version {VERSION}")
    report: Report = _built(Report, value, "")
    return report


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of a record's fields, by name."""
    return get_type_hints(kind, localns={"Mapping": Mapping})


def _built(kind: Any, value: object, where: str) -> Any:
    """Return a JSON value as what a type hint asks for."""
    if is_dataclass(kind):
        return _record(kind, value, where)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind)[0], value, where)
    if isinstance(kind, UnionType):
        [inner] = [one for one in get_args(kind) if one is not NoneType]
        return None if value is None else _built(inner, value, where)
    if get_origin(kind) is Mapping:
        return _mapping(get_args(kind)[1], value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice(kind, value, where)
    return _scalar(kind, value, where)


def _record(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object", value)
    hints = hints_of(kind)
    missing = [one.name for one in fields(kind) if _needed(one) and one.name not in value]
    if missing:
        raise ReportError(f"{where or 'the report'}: the key {missing[0]!r} is missing")
    given = [one.name for one in fields(kind) if one.name in value]
    return kind(**{name: _built(hints[name], value[name], f"{where}.{name}".lstrip(".")) for name in given})


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _tuple(kind: Any, value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    return tuple(_built(kind, one, f"{where}[{index}]") for index, one in enumerate(value))


def _mapping(kind: Any, value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object", value)
    return {key: _built(kind, one, f"{where}.{key}") for key, one in value.items()}


def _choice(kind: type[Enum], value: object, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        raise _wrong(where, "one of " + ", ".join(str(one.value) for one in kind), value) from None


_SCALARS: dict[object, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
}


def _scalar(kind: Any, value: object, where: str) -> object:
    if kind is object:
        return value
    kinds, expected = _SCALARS[kind]
    if not isinstance(value, kinds) or (kind is not bool and isinstance(value, bool)):
        raise _wrong(where, expected, value)
    return value


def _wrong(where: str, expected: str, value: object) -> ReportError:
    shown = json.dumps(value, ensure_ascii=False)
    return ReportError(f"{where or 'the report'}: expected {expected}, got {shown[:60]}")
