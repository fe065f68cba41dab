"""``m43 export``: write what is generated from the message tables, or check that it is up to date."""

from __future__ import annotations

from pathlib import Path

import click

from m43proto.errors import M43Error
from m43tools.render.spec import filled

__all__ = ["export"]

EXIT_STALE = 1


@click.command(
    short_help="Write what is generated from the message tables.",
    epilog="Exit codes: 0 written, or up to date; 1 with --check: stale; 2 wrong usage or a broken page.",
)
@click.argument("target", type=click.Choice(["spec"]))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default="specs",
    show_default=True,
    metavar="DIR",
    help="Folder of the pages.",
)
@click.option("--check", is_flag=True, help="Write nothing; name what is stale.")
@click.pass_context
def export(ctx: click.Context, target: str, output: Path, *, check: bool) -> None:
    r"""Write what is generated from the message tables.

    TARGET spec fills the tables between '<!-- generated: ... -->' markers in the pages of the written spec.

    \b
    Examples:
      m43 export spec
      m43 export spec --check
    """
    pages = sorted(output.glob("*.md"))
    if not pages:
        raise M43Error(f"{output}: no page of the spec (*.md) in this folder")
    stale = [page for page in pages if _is_stale(page)]
    for page in stale:
        click.echo(f"{'stale' if check else 'written'}: {page}")
        if not check:
            page.write_text(filled(page.read_text(encoding="utf-8"), page.name), encoding="utf-8")
    if check and stale:
        ctx.exit(EXIT_STALE)


def _is_stale(page: Path) -> bool:
    text = page.read_text(encoding="utf-8")
    return filled(text, page.name) != text
