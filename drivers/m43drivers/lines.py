"""Which recorded channel is which line of the mount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from m43drivers.capture.model import CaptureError
from m43proto.pins import LINES, Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from m43drivers.capture.model import Channel, Provenance

__all__ = ["NEEDED", "channel_named", "lines_by_name", "lines_by_request", "without_dead_lines"]

NEEDED = (Line.CLK, Line.DATA)
"""The lines without which nothing can be decoded."""

ACK_LINES = (Line.BODY_ACK, Line.LENS_ACK)


class _Named(Protocol):
    """A channel of any kind."""

    @property
    def name(self) -> str: ...

    @property
    def aliases(self) -> tuple[str, ...]: ...


_C = TypeVar("_C", bound=_Named, covariant=True)


class _Recording(Protocol[_C]):
    """A capture of any kind."""

    @property
    def channels(self) -> tuple[_C, ...]: ...

    @property
    def provenance(self) -> Provenance: ...


def lines_by_name(capture: _Recording[_C]) -> dict[Line, _C]:
    """Map the channels whose names equal line names, in any case.

    Raises:
        CaptureError: CLK or DATA has no channel of that name, or two channels have one name.
    """
    mapping: dict[Line, _C] = {}
    for channel in capture.channels:
        line = _line_named(channel.name)
        if line in mapping:
            raise CaptureError(capture.provenance.path, f"two channels are called {channel.name}; choose with --pins")
        if line is not None:
            mapping[line] = channel
    _require_needed(capture, mapping)
    return mapping


def lines_by_request(capture: _Recording[_C], request: Mapping[str, str]) -> dict[Line, _C]:
    """Map lines to the channels that a user names.

    Args:
        capture: the recording, whole or as a stream.
        request: line name to channel name (``{"CLK": "D3"}``). Lines that the request leaves out map by name, unless
            their channel is taken.

    Raises:
        CaptureError: a line or a channel does not exist, one channel is given twice, or CLK or DATA is missing.
    """
    mapping: dict[Line, _C] = {}
    for line_name, channel_name in request.items():
        line = _line_named(line_name)
        if line is None:
            raise CaptureError(
                capture.provenance.path, f"--pins: no line is called {line_name}; lines: {_names(LINES)}"
            )
        channel = channel_named(capture, channel_name)
        taken = next((other for other, used in mapping.items() if used is channel), None)
        if taken is not None:
            raise CaptureError(capture.provenance.path, f"--pins: {channel_name} is given to both {taken} and {line}")
        mapping[line] = channel
    used = set(map(id, mapping.values()))
    for channel in capture.channels:
        line = _line_named(channel.name)
        if line is not None and line not in mapping and id(channel) not in used:
            mapping[line] = channel
    _require_needed(capture, mapping)
    return mapping


def without_dead_lines(mapping: Mapping[Line, Channel]) -> tuple[dict[Line, Channel], tuple[Line, ...]]:
    """Leave out ack lines that never change though CLK does: a probe that was not connected says nothing.

    Returns:
        the mapping without them, and the lines that were left out.
    """
    if not mapping[Line.CLK].edges_ns.size:
        return dict(mapping), ()
    dead = tuple(line for line in ACK_LINES if line in mapping and not mapping[line].edges_ns.size)
    return {line: channel for line, channel in mapping.items() if line not in dead}, dead


def channel_named(capture: _Recording[_C], name: str) -> _C:
    """Return the channel of that name or alias, in any case.

    Raises:
        CaptureError: there is none, or several.
    """
    for names_of in (_own_name, _all_names):
        found = [channel for channel in capture.channels if name.casefold() in names_of(channel)]
        if len(found) == 1:
            return found[0]
        if found:
            raise CaptureError(capture.provenance.path, f"--pins: {len(found)} channels are called {name}")
    raise CaptureError(capture.provenance.path, f"--pins: no channel is called {name}; channels: {_channels(capture)}")


def _own_name(channel: _Named) -> set[str]:
    return {channel.name.casefold()}


def _all_names(channel: _Named) -> set[str]:
    return {channel.name.casefold(), *(alias.casefold() for alias in channel.aliases)}


def _line_named(name: str) -> Line | None:
    return next((line for line in LINES if line.casefold() == name.casefold()), None)


def _require_needed(capture: _Recording[Any], mapping: Mapping[Line, Any]) -> None:
    missing = [line for line in NEEDED if line not in mapping]
    if missing:
        raise CaptureError(
            capture.provenance.path,
            f"no channel for {_names(missing)} among {_channels(capture)};"
            " give --pins CLK=NAME,DATA=NAME,BODY_ACK=NAME,LENS_ACK=NAME or --pins auto",
        )


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _channels(capture: _Recording[Any]) -> str:
    return _names(channel.name for channel in capture.channels) or "none"
