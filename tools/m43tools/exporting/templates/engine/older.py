"""What the engine takes from newer Pythons, for those back to 3.8."""

from __future__ import annotations

from enum import Enum

__all__ = ["StrEnum", "pairwise"]


class StrEnum(str, Enum):
    """A word that is a member of an enumeration."""

    def __str__(self):
        return str(self.value)

    __format__ = str.__format__


def pairwise(values):
    """Return each value with the next one."""
    held = list(values)
    return zip(held, held[1:])
