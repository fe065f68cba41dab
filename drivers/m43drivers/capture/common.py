"""What all capture readers share: their options, the progress meter, and the words for foreign text.

Nothing here knows a file format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from fractions import Fraction

__all__ = ["Meter", "Options", "bare", "distinct_labels", "one_line", "shown"]

MAX_PROGRESS_CALLS = 200


@record(frozen=True, slots=True)
class Options:
    """What the user adds to a file.

    Attributes:
        rate_hz: sampling rate for files that do not state one; wins over a file that does.
        channels: number of lines in raw packed samples.
        progress: called with the fraction read so far.
    """

    rate_hz: Fraction | None = None
    channels: int | None = None
    progress: Callable[[float], None] | None = None


class Meter:
    """Turns positions in a file into at most `MAX_PROGRESS_CALLS` calls of a progress callable."""

    def __init__(self, progress: Callable[[float], None] | None, total: int) -> None:
        self._progress = progress
        self._total = max(total, 1)
        self._step = self._total / MAX_PROGRESS_CALLS
        self._next = self._step

    def at(self, done: int) -> None:
        """Report that ``done`` of the total are read."""
        if self._progress is not None and done >= self._next:
            self._next = done + self._step
            self._progress(min(done / self._total, 1.0))


def shown(text: bytes | str, limit: int = 40) -> str:
    """Quote foreign text for an error: printable, on one line, shortened to ``limit`` characters."""
    whole = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    return repr(whole if len(whole) <= limit else whole[: limit - 1] + "…")


def bare(text: str) -> str:
    """Give foreign text as `shown` does, without the quotes."""
    return shown(text)[1:-1]


def one_line(text: str, limit: int = 500) -> str:
    """Give foreign text with its runs of white space as single spaces, cut after ``limit`` characters."""
    return " ".join(text.split())[:limit]


def distinct_labels(wanted: Iterable[tuple[str, tuple[str, ...]]]) -> list[tuple[str, tuple[str, ...]]]:
    """Make names and aliases unambiguous: a second ``CLK`` becomes ``CLK (2)``, a taken alias is left out.

    Args:
        wanted: name and aliases of each channel.
    """
    pairs = list(wanted)
    names: dict[str, None] = {}
    for name, _ in pairs:
        names[_free_name(name, names)] = None
    taken = set(names)
    return [(name, _free_aliases(aliases, taken)) for name, (_, aliases) in zip(names, pairs, strict=True)]


def _free_name(name: str, names: dict[str, None]) -> str:
    free, number = name, 1
    while free in names:
        number += 1
        free = f"{name} ({number})"
    return free


def _free_aliases(aliases: tuple[str, ...], taken: set[str]) -> tuple[str, ...]:
    free = tuple(alias for alias in dict.fromkeys(aliases) if alias not in taken)
    taken.update(free)
    return free
