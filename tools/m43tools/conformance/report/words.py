"""Words and figures that more than one form of a report shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from m43tools.conformance.model import Report

__all__ = [
    "chapter_title",
    "digits_for",
    "figure",
    "provenance_rows",
    "scale_for",
    "subject",
    "subjects",
    "times_text",
    "value_text",
]

_NAMING = ("lens", "name", "maker", "model")
"""Keys of `Provenance.lens` that name a lens, the best first."""

_SCALES_NS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


def subjects(reports: Sequence[Report]) -> list[str]:
    """Return what each report judges; those of the same name with what tells them apart, if anything does."""
    names = [subject(report) for report in reports]
    told = []
    for report, name in zip(reports, names, strict=True):
        same = [other for other, its_name in zip(reports, names, strict=True) if its_name == name]
        particular = next((tell(report) for tell in _PARTICULARS if len(set(map(tell, same))) == len(same)), "")
        told.append(f"{name}, {particular}" if len(same) > 1 and particular else name)
    return told


def _firmware(report: Report) -> str:
    return f"firmware {value_text(report.provenance.lens.get('firmware', 'unknown'))}"


def _origin(report: Report) -> str:
    return report.provenance.lens_url or report.provenance.capture


_PARTICULARS = (_firmware, _origin)


def chapter_title(chapter: str) -> str:
    """Return the title of a chapter by its file: ``s3_framing`` is "3 Framing"."""
    number, _, name = chapter.partition("_")
    return f"{number.removeprefix('s')} {name.replace('_', ' ').capitalize()}" if name else chapter


def subject(report: Report) -> str:
    """Return what a report judges, in a few words: the lens as it names itself, else what was asked for."""
    said = report.provenance.lens
    named = next((value_text(said[key]) for key in _NAMING if said.get(key)), "")
    return named or _origin(report) or report.provenance.role


def provenance_rows(report: Report) -> list[tuple[str, str]]:
    """Return where a report comes from, as names and values; what does not apply is left out."""
    from_ = report.provenance
    rows = [
        ("tool", f"m43proto {from_.tool}"),
        ("clauses", f"version {from_.spec}"),
        ("mode", f"{from_.mode}, judges the {from_.role}" + (", strict" if from_.strict else "")),
        (f"{from_.role} at", from_.lens_url),
        ("bridge firmware", from_.bridge_firmware),
        ("times", f"in steps of {from_.resolution_ns} ns" if from_.resolution_ns > 1 else ""),
        ("capture", from_.capture),
        ("SHA-256 of the capture", from_.capture_sha256),
        *_flat("lens", from_.lens),
        *_flat("statement", from_.statement),
        ("seed", str(from_.seed)),
        ("command", " ".join(["m43", *from_.command_line]) if from_.command_line else ""),
        ("ended early", "interrupted by a person" if report.interrupted else ""),
        ("lost", f"the {from_.role}, or the bridge, went away for good" if report.lost else ""),
    ]
    return [(name, value) for name, value in rows if value]


def _flat(prefix: str, values: Mapping[str, object]) -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        name = f"{prefix} · {key}"
        rows += _flat(name, value) if isinstance(value, dict) else [(name, value_text(value))]
    return rows


def value_text(value: object) -> str:
    """Return a JSON value for a person."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def times_text(time_ns: int) -> str:
    """Return a time on the bus in milliseconds, to the tenth of a microsecond."""
    return f"{time_ns / 1e6:,.4f} ms".replace(",", "\u202f")


def scale_for(unit: str, largest: float) -> tuple[float, str]:
    """Return by what to divide figures of a unit, and the unit that they then have."""
    if unit != "ns":
        return 1.0, unit
    return next(((by, name) for by, name in _SCALES_NS if abs(largest) >= by), _SCALES_NS[-1])


def digits_for(values: Iterable[float]) -> int:
    """Return how many decimals show figures that stand beside each other: four significant digits of the largest."""
    listed = list(values)
    if all(value == int(value) for value in listed):
        return 0
    return max(1, 4 - len(str(int(max(map(abs, listed))))))


def figure(value: float, digits: int = 0) -> str:
    """Return a figure with so many decimals, its thousands apart, and a minus sign that is one."""
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "−")
