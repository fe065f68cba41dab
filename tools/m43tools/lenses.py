"""``m43 lenses``: look the lens database up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from m43proto.lensdb import MOUNTS, search_lenses
from m43tools.render.table import print_table

if TYPE_CHECKING:
    from m43proto.lensdb import Lens

__all__ = ["lenses"]

EXIT_NOTHING_FOUND = 1


@click.command(
    short_help="Look lenses up: identity, focal range, apertures, sources.",
    epilog="Exit codes: 0 found; 1 no lens has all these words; 2 wrong usage.",
)
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="A JSON array for programs.")
@click.pass_context
def lenses(ctx: click.Context, words: tuple[str, ...], *, as_json: bool) -> None:
    r"""Look lenses up by WORDS in their name, maker, mount or identity; all of them without words.

    \b
    Examples:
      m43 lenses panasonic pz
      m43 lenses "0 01 10"
      m43 lenses olympus is --json
    """
    found = search_lenses(words)
    if as_json:
        click.echo(json.dumps([record(lens) for lens in found], ensure_ascii=False, indent=2))
    elif found:
        count = "1 lens" if len(found) == 1 else f"{len(found)} lenses"
        print_table(_HEADINGS, [*map(_cells, found)], f"{count}; ? = the name does not say")
    if not found:
        click.echo(f"m43: no lens has all of: {' '.join(words)}", err=True)
        ctx.exit(EXIT_NOTHING_FOUND)


def record(lens: Lens) -> dict[str, object]:
    """Return a lens as JSON values; null where nobody told."""
    return {
        "maker": lens.maker,
        "model": lens.model,
        "submodel": lens.submodel,
        "id_bytes": lens.id_bytes.hex(),
        "maker_name": lens.maker_name,
        "name": lens.name,
        "mount": MOUNTS[lens.mount],
        "focal_min_mm": lens.focal_min_mm,
        "focal_max_mm": lens.focal_max_mm,
        "aperture_wide_f": lens.aperture_wide_f,
        "aperture_tele_f": lens.aperture_tele_f,
        "stabilised": lens.stabilised,
        "evidence": lens.evidence,
        "source": lens.source,
        "note": lens.note,
    }


_HEADINGS = ("id", "bytes", "maker", "name", "mount", "focal mm", "widest f/", "stab.", "evidence", "source")


def _cells(lens: Lens) -> tuple[str, ...]:
    return (
        lens.id_text,
        lens.id_bytes.hex(" "),
        lens.maker_name,
        lens.name,
        lens.mount,
        _span(lens.focal_min_mm, lens.focal_max_mm),
        _span(lens.aperture_wide_f, lens.aperture_tele_f),
        "yes" if lens.stabilised else "?",
        lens.evidence,
        lens.source + (f" ({lens.note})" if lens.note else ""),
    )


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"
