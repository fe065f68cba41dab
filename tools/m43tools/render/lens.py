"""A lens and its statuses -> labelled rows for a person, records for a program."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any, TypeAlias

from m43proto.evidence import Evidence
from m43proto.messages import Identify, Status
from m43tools.render.records import plain
from m43tools.render.values import decoded, hex_text, label, printable, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from m43drivers.body import Lens, LensStatus
    from m43proto.events import MessageSeen
    from m43proto.schema import Field
    from m43tools.render.glyphs import Glyphs

__all__ = [
    "STATUS_VALUES",
    "Row",
    "identity_record",
    "identity_rows",
    "legend",
    "page",
    "place_rows",
    "raw_rows",
    "status_field",
    "status_record",
    "status_rows",
    "value_text",
]

Row: TypeAlias = tuple[str, str]
"""A label, and what stands behind it."""

STATUS_VALUES = ("aperture_f", "focus_position", "focus_distance_m", "zoom_step")
"""What is shown of a status, in order."""

_FIELDS: dict[str, Field] = {field.name: field for field in (*Identify.spec.fields, *Status.spec.fields)}

_LABEL_WIDTH = 16


def place_rows(lens: Lens) -> list[Row]:
    """Return where the lens is, and who it is, in a row each."""
    return [("at", _place(lens)), ("lens", _name(lens))]


def _place(lens: Lens) -> str:
    driver = lens.driver
    name = driver.abilities.name if driver.abilities else ""
    return f"{printable(name)} ({driver.transport.url})"


def _name(lens: Lens) -> str:
    if lens.identity is None:
        return "nothing answers"
    identity = printable(f"{lens.identity.maker} {lens.identity.model} {lens.identity.submodel}")
    return f"{lens.capabilities.name or 'not in the lens database'} ({identity})"


def identity_rows(lens: Lens, glyphs: Glyphs) -> list[Row]:
    """Return what is known of a lens, beside its name."""
    identity, able = lens.identity, lens.capabilities
    if identity is None:
        return []
    rows = [(name, value_text(_FIELDS[name], getattr(identity, name), glyphs)) for name in ("serial", "firmware")]
    if able.focal_min_mm is not None:
        rows.append(("focal length", _span(able.focal_min_mm, able.focal_max_mm, "{:g}", " mm")))
        rows.append(("widest aperture", _span(able.widest_f, able.widest_tele_f, "f/{:g}", "")))
    if able.link:
        mark = glyphs.marks[Evidence.UNKNOWN]
        rows.append(("link capability", f"{hex_text(able.link)}{mark}"))
    firmware = lens.driver.abilities.firmware if lens.driver.abilities else ""
    return [*rows, ("bridge firmware", printable(firmware))] if firmware else rows


def _span(low: float | None, high: float | None, form: str, unit: str) -> str:
    ends = [form.format(end) for end in (low, high) if end is not None]
    return f"{' to '.join(dict.fromkeys(ends))}{unit} (lens database)"


def status_field(name: str) -> tuple[str, Field]:
    """Return the label and the declaration of a value of a status."""
    return label(_FIELDS[name]), _FIELDS[name]


def status_rows(status: LensStatus | None, glyphs: Glyphs) -> list[Row]:
    """Return what a status says; dashes without one."""
    return [
        (label(_FIELDS[name]), "-" if status is None else value_text(_FIELDS[name], getattr(status, name), glyphs))
        for name in STATUS_VALUES
    ]


def raw_rows(seen: MessageSeen, glyphs: Glyphs) -> list[Row]:
    """Return what came of a raw command."""
    transaction = seen.transaction
    rows = [("sent", f"{hex_text(transaction.command)} ({transaction.shape})")]
    if transaction.data:
        rows.append(("data", hex_text(transaction.data)))
    if transaction.status is not None:
        rows.append(("status byte", f"{transaction.status:02X}"))
    rows.append(("message", f"{seen.name}{glyphs.marks[seen.evidence]}"))
    return [*rows, *(("", value) for value in decoded(seen, glyphs, raw=True) if seen.kind is not None)]


def value_text(field: Field, value: Any, glyphs: Glyphs) -> str:
    """Return a value in its unit, with the mark of how sure its field is; a dash for None."""
    if value is None:
        return "-"
    mark = "" if field.evidence is Evidence.CONFIRMED else glyphs.marks[field.evidence]
    return f"{printable(quantity(value, field.unit, glyphs))}{mark}"


def page(rows: list[Row], glyphs: Glyphs, width: int | None) -> Iterator[str]:
    """Yield lines of a page: the rows, filled to a width, and what their marks mean."""
    indent = " " * _LABEL_WIDTH
    for name, value in rows:
        first = f"{name:<{_LABEL_WIDTH}}"
        if width is None:
            yield f"{first}{value}".rstrip()
        else:
            yield from textwrap.wrap(value, max(width, 30), initial_indent=first, subsequent_indent=indent)
    marks = legend(rows, glyphs)
    if marks:
        yield marks


def legend(rows: list[Row], glyphs: Glyphs) -> str:
    """Return what the marks in some rows mean; nothing for rows without marks."""
    text = "".join(value for _, value in rows)
    return "  ".join(f"{glyphs.marks[level]} {level}" for level in Evidence if glyphs.marks[level] in text)


# records


def identity_record(lens: Lens) -> dict[str, Any]:
    """Return who a lens is, as JSON values."""
    identity, able, abilities = lens.identity, lens.capabilities, lens.driver.abilities
    fields: Mapping[str, Any] = {} if identity is None else identity.values
    return {
        "url": lens.driver.transport.url,
        "at": abilities.name if abilities else None,
        "bridge_firmware": (abilities.firmware or None) if abilities else None,
        "lens": able.name or None,
        "identity": {name: plain(value) for name, value in fields.items()} or None,
        "focal_min_mm": able.focal_min_mm,
        "focal_max_mm": able.focal_max_mm,
        "aperture_wide_f": able.widest_f,
        "aperture_tele_f": able.widest_tele_f,
        "link_capability": able.link.hex() or None,
    }


def status_record(lens: Lens, status: LensStatus) -> dict[str, Any]:
    """Return what a status says, as JSON values; a distance of infinity is ``"infinity"``."""
    values = {name: plain(getattr(status, name)) for name in STATUS_VALUES}
    av = None if status.aperture_f is None else round(2 * math.log2(status.aperture_f), 4)
    return {"url": lens.driver.transport.url, **values, "aperture_av": av}
