"""``m43 analysers``: which logic analysers are plugged in, what they can do, what is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from m43drivers.analyser import ANALYSERS
from m43drivers.analyser.survey import survey
from m43tools.render.table import print_table

if TYPE_CHECKING:
    from m43drivers.analyser.survey import Plugged, Survey

__all__ = ["analysers"]

EXIT_NOTHING_FOUND = 1

_HEADINGS = ("source", "analyser", "channels", "up to", "state")


@click.command(
    short_help="List logic analysers: what they can do, and what is missing.",
    epilog="Exit codes: 0 an analyser can be used; 1 none can, or none is plugged in; 2 wrong usage.",
)
@click.option("--probe", is_flag=True, help="Open each serial port and ask what is there. This sends bytes to each.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for programs.")
@click.pass_context
def analysers(ctx: click.Context, *, probe: bool, as_json: bool) -> None:
    r"""List the logic analysers that are plugged in, what they can do, and what is missing to use them.

    FX2 analysers (clones of the Saleae Logic, and others) are found on USB. An analyser at a serial port, or a bridge
    of this project, says what it is only when it is asked: with --probe.

    \b
    Examples:
      m43 analysers
      m43 analysers --probe
      m43 analysers --json
    """
    found = survey(probe=probe)
    if as_json:
        click.echo(json.dumps(_record(found), ensure_ascii=False, indent=2))
    else:
        _print_text(found, probe=probe)
    if not any(one.usable for one in found.plugged):
        ctx.exit(EXIT_NOTHING_FOUND)


def _print_text(found: Survey, *, probe: bool) -> None:
    if found.plugged:
        count = len(found.plugged)
        print_table(_HEADINGS, [*map(_cells, found.plugged)], "1 analyser" if count == 1 else f"{count} analysers")
    else:
        hint = "" if probe else "; --probe asks at serial ports, too"
        click.echo(f"m43: no logic analyser is plugged in{hint}", err=True)
    for one in found.plugged:
        if one.missing:
            click.echo(f"m43: {one.source}: {one.missing}", err=True)
    for missing in found.missing:
        click.echo(f"m43: {missing}", err=True)


def _cells(one: Plugged) -> tuple[str, ...]:
    return (
        one.source,
        one.name,
        "" if one.channels is None else str(one.channels),
        "" if one.fastest_hz is None else f"{one.fastest_hz / 1e6:g} MHz",
        _state(one),
    )


def _state(one: Plugged) -> str:
    if one.missing:
        return "cannot be used yet"
    return f"perhaps: {one.perhaps}" if one.perhaps else "ready"


def _record(found: Survey) -> dict[str, object]:
    return {
        "analysers": [
            {
                "source": one.source,
                "name": one.name,
                "channels": one.channels,
                "fastest_hz": one.fastest_hz,
                "usable": one.usable,
                "missing": one.missing or None,
                "perhaps": one.perhaps or None,
            }
            for one in found.plugged
        ],
        "sigrok_cli": found.sigrok_cli,
        "missing": list(found.missing),
        "sources": {scheme: text for scheme, (_, text) in ANALYSERS.items()},
    }
