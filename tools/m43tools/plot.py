"""``m43 plot``: a picture of what a capture holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from m43tools.catalogues import combined
from m43tools.output import open_binary_output
from m43tools.units import TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from fractions import Fraction

    from m43drivers.capture import Capture, Channel
    from m43proto.catalogue import Catalogue
    from m43proto.pins import Line
    from m43tools.render.plots.story import Story

__all__ = ["plot"]

MOST_EDGES = 20_000
"""Edges in the window of a waveform, at most: more can be neither drawn in reasonable time nor seen."""

AUTO = "auto"


def _html(story: Story, stream: BinaryIO) -> None:
    from m43tools.render.plots.interactive import draw_interactive

    draw_interactive(story, stream)


def _png(story: Story, stream: BinaryIO) -> None:
    from m43tools.render.plots.still import draw_still

    draw_still(story, stream, "png")


def _svg(story: Story, stream: BinaryIO) -> None:
    from m43tools.render.plots.still import draw_still

    draw_still(story, stream, "svg")


FORMS: dict[str, Callable[[Story, BinaryIO], None]] = {".html": _html, ".png": _png, ".svg": _svg}
"""What can be drawn, by the suffix of the file."""


def _target(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    if value.suffix.lower() not in FORMS:
        raise click.BadParameter(f"{value} must end in {', '.join(FORMS)}")
    return value


@dataclass(frozen=True, slots=True)
class _Window:
    """What the user asked for."""

    from_ns: Fraction | None
    to_ns: Fraction | None

    def within(self, end_ns: int) -> tuple[int, int] | None:
        """Return the window of a waveform, or None when none is asked for."""
        if self.from_ns is None and self.to_ns is None:
            return None
        start, stop = int(self.from_ns or 0), end_ns if self.to_ns is None else min(int(self.to_ns), end_ns)
        if start >= stop:
            raise click.UsageError(
                f"--from and --to leave nothing of a capture of {end_ns / 1e9:.6f} s; --to must lie behind --from"
            )
        return start, stop


@click.command(
    short_help="Draw a capture: focus, aperture and zoom over time, and its lines.",
    epilog="Exit codes: 0 drawn; 2 could not be read, wrong usage, or a package is missing; 130 interrupted.",
)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    callback=_target,
    metavar="FILE",
    help="The picture; its suffix tells what: .html (can be zoomed), .png or .svg.",
)
@click.option(
    "--from", "from_ns", callback=TIME, metavar="TIME", help="Draw the lines, too, from this time (0.5, 500ms)."
)
@click.option("--to", "to_ns", callback=TIME, metavar="TIME", help="Draw the lines, too, up to this time.")
@click.option("--pins", metavar="LINE=CHANNEL,...|auto", help="Which channel is which line, as for m43 sniff.")
@click.pass_context
def plot(
    ctx: click.Context,
    captures: tuple[Path, ...],
    output: Path,
    from_ns: Fraction | None,
    to_ns: Fraction | None,
    pins: str | None,
) -> None:
    r"""Draw a capture: focus position, focus distance, aperture and zoom over time, with the drives.

    With --from, --to or both, the lines in that window of time are drawn below, with their bytes and transactions.
    CAPTURE is what m43 sniff reads; a recording of m43 lens has no lines.

    It needs a package more: pip install 'm43proto[plot]'.

    \b
    Examples:
      m43 plot focus-sweep.sr -o focus.html
      m43 plot focus-sweep.sr -o poll.png --from 0.5448 --to 0.5468
      m43 plot session.jsonl -o session.svg
    """
    catalogue = combined(ctx.obj or ())
    story = _story(captures, catalogue, _Window(from_ns, to_ns), pins)
    if not story.series and not story.window_ns:
        raise click.UsageError(
            f"{captures[0]}: no status in it that could be drawn; draw its lines with --from and --to"
        )
    with open_binary_output(output) as stream:
        FORMS[output.suffix.lower()](story, stream)


def _story(captures: tuple[Path, ...], catalogue: Catalogue, window: _Window, pins: str | None) -> Story:
    from m43drivers.capture import open_capture
    from m43drivers.exchanges import observe_exchange
    from m43drivers.lines import without_dead_lines
    from m43drivers.observe import observe
    from m43drivers.transports.recorded import is_exchange, read_exchange
    from m43tools.render.plots.story import story_of

    title = captures[0].name if captures[0].stem != "capture" else captures[0].parent.name or captures[0].name
    if len(captures) == 1 and is_exchange(captures[0]):
        exchange = read_exchange(captures[0])
        if window.within(exchange.end_ns):
            raise click.UsageError(
                f"{captures[0]} is a recording of exchanges: it has no lines; leave --from and --to out"
            )
        return story_of(observe_exchange(exchange, catalogue), exchange.end_ns, title=title)
    capture = open_capture(captures)
    mapping, _ = without_dead_lines(_mapping(capture, pins))
    window_ns = window.within(capture.end_ns)
    if window_ns:
        _refuse_crowds(mapping, window_ns)
    return story_of(
        observe(capture, mapping, catalogue),
        capture.end_ns,
        title=title,
        note=capture.provenance.details.get("comment", ""),
        window_ns=window_ns,
        mapping=mapping,
    )


def _mapping(capture: Capture, pins: str | None) -> Mapping[Line, Channel]:
    from m43drivers.lines import lines_by_name, lines_by_request
    from m43drivers.pinfinder import find_lines

    if pins is None:
        return lines_by_name(capture)
    if pins == AUTO:
        finding = find_lines(capture)
        click.echo(f"m43: --pins {finding}", err=True)
        return finding.mapping
    pairs = [part.partition("=") for part in pins.split(",") if part]
    if not all(line and equals and channel for line, equals, channel in pairs):
        raise click.UsageError(f"--pins {pins!r} must be 'auto' or look like CLK=D3,DATA=D1,BODY_ACK=D5,LENS_ACK=D0")
    return lines_by_request(capture, {line.strip(): channel.strip() for line, _, channel in pairs})


def _refuse_crowds(mapping: Mapping[Line, Channel], window_ns: tuple[int, int]) -> None:
    import numpy as np

    start, stop = window_ns
    ends = [np.searchsorted(channel.edges_ns, [start, stop]) for channel in mapping.values()]
    edges = sum(int(last - first) for first, last in ends)
    if edges > MOST_EDGES:
        raise click.UsageError(
            f"the window from {start / 1e9:.6f} s to {stop / 1e9:.6f} s holds {edges} edges, more than {MOST_EDGES}; "
            "narrow it with --from and --to"
        )
