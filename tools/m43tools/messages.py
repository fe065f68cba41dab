"""``m43 messages``: the message catalogue as a person reads it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from m43proto.schema import Part
from m43tools.catalogues import combined
from m43tools.render.glyphs import glyphs_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43proto.catalogue import Catalogue
    from m43proto.schema import Field, Message, MessageSpec
    from m43tools.render.glyphs import Glyphs

__all__ = ["messages"]


@click.command(
    short_help="Show the message catalogue: fields, units, evidence, sources.",
    epilog="Exit codes: 0 shown; 2 wrong usage, or no message of that name.",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="A JSON array for programs.")
@click.pass_context
def messages(ctx: click.Context, names: tuple[str, ...], *, as_json: bool) -> None:
    r"""Show the message catalogue; with NAMEs, the fields of these messages.

    \b
    Examples:
      m43 messages
      m43 messages Status Drive
      m43 --catalogue provisional messages SetStabilisation
    """
    catalogue = combined(ctx.obj or ())
    chosen = [_named(catalogue, name) for name in names] or list(catalogue)
    if as_json:
        click.echo(json.dumps([record(kind.spec) for kind in chosen], ensure_ascii=False, indent=2))
        return
    glyphs = glyphs_for(sys.stdout)
    for kind in chosen:
        click.echo("\n".join(_lines(kind.spec, glyphs)) if names else _headline(kind.spec, glyphs))


def _named(catalogue: Catalogue, name: str) -> type[Message]:
    kind = catalogue.named(name)
    if kind is None:
        known = ", ".join(kind.spec.name for kind in catalogue)
        raise click.UsageError(f"no message is called {name}; known: {known}")
    return kind


def record(spec: MessageSpec) -> dict[str, object]:
    """Return a declaration as JSON values."""
    return {
        "name": spec.name,
        "opcode": spec.opcode.hex(),
        "shape": spec.shape,
        "section": spec.section,
        "doc": spec.doc,
        "evidence": spec.evidence,
        "source": spec.source,
        "fields": [_field_record(field) for field in spec.fields],
    }


def _field_record(field: Field) -> dict[str, object]:
    return {
        "name": field.name,
        "part": field.part.value,
        "offset": field.offset,
        "size": field.encoding.size,
        "unit": field.unit,
        "encoding": field.encoding.formula,
        "doc": field.doc,
        "evidence": field.evidence,
        "source": field.source,
    }


def _headline(spec: MessageSpec, glyphs: Glyphs) -> str:
    opcode = spec.opcode.hex(" ").upper()
    return f"{opcode}  {spec.shape:<9} {glyphs.marks[spec.evidence]} {spec.name:<20} {spec.doc}"


def _lines(spec: MessageSpec, glyphs: Glyphs) -> Iterator[str]:
    yield _headline(spec, glyphs)
    yield f"       {spec.evidence}, source: {spec.source}" + (f", specs §{spec.section}" if spec.section else "")
    for field in spec.fields:
        place = f"{_PLACES[field.part]}{field.offset}"
        size = "*" if field.encoding.size is None else str(field.encoding.size)
        unit = f" [{field.unit}]" if field.unit else ""
        yield f"  {place:>9} {size:>3}  {glyphs.marks[field.evidence]} {field.name:<20} {field.doc}{unit}"
    yield ""


_PLACES = {Part.ARGUMENT: "argument ", Part.BLOCK: "block ", Part.STATUS: "status "}
