"""Values with units as people type them on a command line: times and rates."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RATE", "SIZE", "TIME"]

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([a-zµ]*)\s*", re.IGNORECASE)


@record(frozen=True, slots=True)
class _Quantity:
    """The callback of a click option that takes a number with a unit, and gives an exact fraction of the base unit."""

    name: str
    units: Mapping[str, int]
    example: str

    def __call__(self, ctx: click.Context, param: click.Parameter, value: str | None) -> Fraction | None:
        """Parse what was typed.

        Raises:
            click.BadParameter: it is no such quantity; the text shows what is right.
        """
        if value is None:
            return None
        match = _NUMBER.fullmatch(value)
        if match is None or match[2].lower() not in self.units:
            raise click.BadParameter(f"{value!r} is no {self.name}; write it like {self.example}")
        return Fraction(Decimal(match[1])) * self.units[match[2].lower()]


TIME = _Quantity(
    "time",
    {
        "h": 3600 * 10**9,
        "min": 60 * 10**9,
        "m": 60 * 10**9,
        "": 10**9,
        "s": 10**9,
        "ms": 10**6,
        "us": 10**3,
        "µs": 10**3,
        "ns": 1,
    },
    "2m, 0.5, 500ms, 120us or 42495437ns",
)
"""A time; gives nanoseconds."""

RATE = _Quantity(
    "rate",
    {
        f"{prefix}{hertz}": factor
        for prefix, factor in (("", 1), ("k", 10**3), ("m", 10**6), ("g", 10**9))
        for hertz in ("", "hz")
    },
    "24MHz, 24M or 24000000",
)
"""A sampling rate; gives hertz."""

SIZE = _Quantity(
    "size",
    {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9},
    "500MB, 2GB or 1000000",
)
"""A size of files; gives bytes."""
