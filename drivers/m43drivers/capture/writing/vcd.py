"""Value change dumps (IEEE 1364) with a timescale of 1 ns; the note is a comment at the top."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["write"]

FIRST_IDENTIFIER = ord("!")


def write(target: Path, samples: Samples, note: str) -> None:
    """Write a dump; a space in the name of a line becomes ``_``, for a dump is cut into words."""
    with target.open("x", encoding="utf-8", newline="\n") as stream:
        stream.writelines(_header(samples.names, note))
        stream.writelines(_body(samples))


def _header(names: tuple[str, ...], note: str) -> Iterator[str]:
    yield f"$comment {note.replace('$end', '$ end')} $end\n"
    yield "$timescale 1 ns $end\n$scope module mount $end\n"
    for bit, name in enumerate(names):
        yield f"$var wire 1 {_identifier(bit)} {name.replace(' ', '_')} $end\n"
    yield "$upscope $end\n$enddefinitions $end\n"


def _body(samples: Samples) -> Iterator[str]:
    every_line = (1 << len(samples.names)) - 1
    values = cache(_values)
    rows = samples.rows()
    _, before = next(rows)
    yield f"#0\n$dumpvars\n{values(every_line, before)}$end\n"
    for now_ns, after in rows:
        yield f"#{now_ns}\n{values(before ^ after, after)}"
        before = after


def _values(toggled: int, state: int) -> str:
    bits = (bit for bit in range(toggled.bit_length()) if toggled >> bit & 1)
    return "".join(f"{state >> bit & 1}{_identifier(bit)}\n" for bit in bits)


def _identifier(bit: int) -> str:
    return chr(FIRST_IDENTIFIER + bit)
