"""The words behind a source, checked: which keys it knows, and numbers within their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43drivers.analyser.model import AnalyserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m43drivers.analyser.model import Settings

__all__ = ["channels_of", "known_options"]


def known_options(source: str, settings: Settings, known: Iterable[str]) -> None:
    """Refuse a key that a source does not know.

    Raises:
        AnalyserError: there is one.
    """
    names = sorted(known)
    for key in settings.options:
        if key not in names:
            raise AnalyserError(f"{source}: no option is called {key}; {', '.join(names) or 'it has none'}")


def channels_of(source: str, settings: Settings, usual: int, most: int) -> int:
    """Return how many channels to record.

    Raises:
        AnalyserError: the source has not so many.
    """
    channels = settings.channels or min(usual, most)
    if not 1 <= channels <= most:
        raise AnalyserError(f"{source}: expected 1 to {most} channels, found {channels}")
    return channels
