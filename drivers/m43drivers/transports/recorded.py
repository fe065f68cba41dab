"""Reads a recording of exchanges: lines of JSON -> rows, each checked.

`m43drivers.transports.recording` tells the form. Times are nanoseconds from the opening.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from m43drivers.transport import Abilities, Break, Report, TransportError
from m43drivers.transports.recording import FAILURES, FORMAT, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "Exchange",
    "FramesRow",
    "HeartbeatRow",
    "LostRow",
    "PollRow",
    "PowerRow",
    "Row",
    "StopRow",
    "TransactRow",
    "is_exchange",
    "read_exchange",
]


@dataclass(frozen=True, slots=True)
class _Row:
    """What all rows have.

    Attributes:
        line: where it stands in the file, from 1.
        t_ns: when it began.
        end_ns: when it ended.
    """

    line: int
    t_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class PowerRow(_Row):
    """SLEEP was raised or dropped.

    Attributes:
        on: whether it was raised.
        woke: whether the lens gave its wake pulse.
        failed: a key of `FAILURES` when the transport could not do it, or None.
        error: what it said then.
    """

    on: bool
    woke: bool
    failed: str | None
    error: str


@dataclass(frozen=True, slots=True)
class TransactRow(_Row):
    """A transaction was asked for and carried out.

    Attributes:
        command: its four command bytes.
        data: what the body wrote.
        said: all that the lens said.
        broke_off: why it broke off, or None.
        failed: a key of `FAILURES` when the transport could not do it, or None.
        error: what it said then.
    """

    command: bytes
    data: bytes
    said: bytes
    broke_off: Break | None
    failed: str | None
    error: str


@dataclass(frozen=True, slots=True)
class FramesRow(_Row):
    """Polling was begun, or changed.

    Attributes:
        poll: the command.
        rate_hz: frames per second.
        report: which polls were to be told.
    """

    poll: bytes
    rate_hz: float
    report: Report


@dataclass(frozen=True, slots=True)
class StopRow(_Row):
    """Polling was stopped."""


@dataclass(frozen=True, slots=True)
class PollRow(_Row):
    """The transport told of a poll.

    Attributes:
        command: its command.
        said: all that the lens said.
        broke_off: why it broke off, or None.
        alike: polls before it that were not told, because they were like the one before them.
    """

    command: bytes
    said: bytes
    broke_off: Break | None
    alike: int


@dataclass(frozen=True, slots=True)
class HeartbeatRow(_Row):
    """The transport gave a sign of life.

    Attributes:
        alike: polls before it that were not told.
        counters: error counters of the bridge.
    """

    alike: int
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LostRow(_Row):
    """The other end was lost.

    Attributes:
        error: what happened.
    """

    error: str


Row: TypeAlias = PowerRow | TransactRow | FramesRow | StopRow | PollRow | HeartbeatRow | LostRow


@dataclass(frozen=True, slots=True)
class Exchange:
    """A recording.

    Attributes:
        path: its file.
        url: where it was recorded.
        abilities: what the transport said of itself.
        rows: what was asked and told, in the order in which it ended.
    """

    path: Path
    url: str
    abilities: Abilities
    rows: tuple[Row, ...]

    @property
    def end_ns(self) -> int:
        """When the last of it ended."""
        return max((row.end_ns for row in self.rows), default=0)


def is_exchange(path: Path) -> bool:
    """Tell by its first bytes whether a file is a recording of exchanges."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(65536)
    try:
        head = json.loads(first)
    except ValueError:
        return False
    return isinstance(head, dict) and head.get("format") == FORMAT


def read_exchange(path: Path) -> Exchange:
    """Read a recording.

    Raises:
        TransportError: the file cannot be read, or a line of it is wrong; the text names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise TransportError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TransportError(f"{path}: is no recording of m43 lens --record: it holds bytes that are no text") from None
    if not lines:
        raise TransportError(f"{path}: is empty; record with m43 lens --record")
    url, abilities = _header(path, _object(path, 1, lines[0]))
    rows = (_row(path, at, _object(path, at, line)) for at, line in enumerate(lines[1:], 2) if line.strip())
    return Exchange(path, url, abilities, tuple(rows))


def _object(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        if text.endswith("\n") or line == 1:
            raise _wrong(path, line, "is no JSON") from None
        raise _wrong(path, line, "is cut off; delete it to use what stands before it") from None
    if not isinstance(found, dict):
        raise _wrong(path, line, "is no JSON object")
    return found


def _wrong(path: Path, line: int, what: str) -> TransportError:
    return TransportError(f"{path}: line {line} {what}")


@dataclass(frozen=True, slots=True)
class _Value:
    """How one kind of value is read.

    Attributes:
        wanted: what it is, for an error.
        read: gives the value; raises ValueError, TypeError or KeyError.
        default: what stands for a missing one; None where it must not be missing.
    """

    wanted: str
    read: Callable[[Any], Any]
    default: Any = None


def _read_count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _read_rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError
    return float(value)


def _read_command(value: Any) -> bytes:
    command = bytes.fromhex(value)
    if len(command) != 4:
        raise ValueError
    return command


def _read_failure(value: Any) -> str | None:
    return None if FAILURES[value] is None else str(value)


_NS = _Value("a time in nanoseconds, 0 or more", _read_count)
_COUNT = _Value("a number, 0 or more", _read_count)
_FLAG = _Value("true or false", _read_flag)
_TEXT = _Value("a text", _read_text)
_ERROR = _Value("a text", _read_text, "")
_COMMAND = _Value("four bytes in hexadecimal", _read_command)
_HEX = _Value("bytes in hexadecimal", bytes.fromhex)
_BREAK = _Value(f"null or one of {', '.join(Break)}", lambda value: None if value is None else Break(value))
_FAILURE = _Value(f"one of {', '.join(kind for kind in FAILURES if kind)}", _read_failure, "")
_RATE = _Value("frames per second, above 0", _read_rate)
_REPORT = _Value(f"one of {', '.join(Report)}", Report)
_COUNTERS = _Value(
    "an object of numbers", lambda value: {str(name): _read_count(count) for name, count in value.items()}
)

_AT = {"t_ns": _NS}
_SPAN = {"t_ns": _NS, "end_ns": _NS}
_CARRIED = {"start_ns": _NS, "end_ns": _NS, "command": _COMMAND, "said": _HEX, "broke_off": _BREAK}
_MAY_FAIL = {"failed": _FAILURE, "error": _ERROR}

_ROWS: dict[str, tuple[Callable[..., Row], dict[str, _Value]]] = {
    "power": (PowerRow, {**_SPAN, "on": _FLAG, "woke": _FLAG, **_MAY_FAIL}),
    "transact": (TransactRow, {**_CARRIED, "data": _HEX, **_MAY_FAIL}),
    "frames": (FramesRow, {**_AT, "poll": _COMMAND, "rate_hz": _RATE, "report": _REPORT}),
    "stop": (StopRow, _SPAN),
    "poll": (PollRow, {**_CARRIED, "alike": _COUNT}),
    "heartbeat": (HeartbeatRow, {**_AT, "alike": _COUNT, "counters": _COUNTERS}),
    "lost": (LostRow, {**_AT, "error": _TEXT}),
}
"""What each line holds: the row that it becomes, and its keys."""

_ABILITIES = {"name": _TEXT, "firmware": _TEXT, "boot_id": _COUNT, "longest_block": _COUNT}


def _header(path: Path, head: dict[str, Any]) -> tuple[str, Abilities]:
    if head.get("format") != FORMAT:
        raise _wrong(path, 1, f"does not say format {FORMAT}; record with m43 lens --record")
    if head.get("version") != VERSION:
        raise _wrong(path, 1, f"says version {head.get('version')}; this program reads version {VERSION}")
    return _value(path, 1, head, "url", _TEXT), Abilities(**_values(path, 1, head, _ABILITIES))


def _row(path: Path, line: int, found: dict[str, Any]) -> Row:
    done = found.get("do")
    if done not in _ROWS:
        raise _wrong(path, line, f"does {done!r}, but should do one of {', '.join(_ROWS)}")
    kind, keys = _ROWS[done]
    values = _values(path, line, found, keys)
    t_ns = values.pop("start_ns", None)
    if t_ns is not None:
        values["t_ns"] = t_ns
    values.setdefault("end_ns", values["t_ns"])
    if values["end_ns"] < values["t_ns"]:
        raise _wrong(path, line, "ends before it begins")
    return kind(line, **values)


def _values(path: Path, line: int, found: dict[str, Any], keys: dict[str, _Value]) -> dict[str, Any]:
    return {key: _value(path, line, found, key, value) for key, value in keys.items()}


def _value(path: Path, line: int, found: dict[str, Any], key: str, value: _Value) -> Any:
    if key not in found and value.default is None:
        raise _wrong(path, line, f"lacks {key}, {value.wanted}")
    given = found.get(key, value.default)
    try:
        return value.read(given)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _wrong(path, line, f"has {key} {json.dumps(given)}, which should be {value.wanted}") from None
