"""``m43 plot``: a picture of what a capture holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from m43proto.records import record
from m43tools.catalogues import combined
from m43tools.many import captures_in
from m43tools.output import open_binary_output, progress_on_stderr
from m43tools.units import RATE, TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from fractions import Fraction

    from m43drivers.capture import Capture, Channel
    from m43proto.catalogue import Catalogue
    from m43proto.pins import Line
    from m43tools.output import Progress
    from m43tools.render.plots.story import Story

__all__ = ["plot"]

MOST_EDGES = 20_000
"""Edges in the window of a waveform, at most: more can be neither drawn in reasonable time nor seen."""

AUTO, READING, DECODING = "auto", "reading", "decoding"


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


@record(frozen=True, slots=True, kw_only=True)
class _Request:
    """The command line."""

    catalogue: Catalogue
    captures: tuple[Path, ...]
    from_ns: Fraction | None
    to_ns: Fraction | None
    pins: str | None
    rate: Fraction | None
    channels: int | None

    @property
    def title(self) -> str:
        """The name of the capture; of its folder, where all captures are called the same."""
        path = self.captures[0]
        return path.parent.name or path.name if path.stem == "capture" else path.name

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
@click.option("--rate", callback=RATE, metavar="RATE", help="Sampling rate of a file that does not tell (24MHz).")
@click.option("--channels", type=click.IntRange(1, 64), metavar="N", help="Lines in a file of raw samples (default 8).")
@click.pass_context
def plot(ctx: click.Context, /, output: Path, **options: Any) -> None:
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
    request = _Request(catalogue=combined(ctx.obj or ()), **options)
    with progress_on_stderr(READING, DECODING) as progress:
        story = _story(request, progress)
    if not story.series and not story.window_ns:
        raise click.UsageError(
            f"{request.captures[0]}: no status in it that could be drawn; draw its lines with --from and --to"
        )
    with open_binary_output(output) as stream:
        FORMS[output.suffix.lower()](story, stream)


def _story(request: _Request, progress: Progress) -> Story:
    from m43drivers.transports.recorded import is_exchange

    groups = captures_in(request.captures)
    if len(groups) > 1:
        raise click.UsageError(f"one picture shows one capture, not {len(groups)}; call m43 plot for each")
    return _story_of_exchange(request) if is_exchange(request.captures[0]) else _story_of_capture(request, progress)


def _story_of_exchange(request: _Request) -> Story:
    from m43drivers.exchanges import observe_exchange
    from m43drivers.transports.recorded import read_exchange
    from m43tools.render.plots.story import story_of

    exchange = read_exchange(request.captures[0])
    if request.within(exchange.end_ns):
        raise click.UsageError(
            f"{request.captures[0]} is a recording of exchanges: it has no lines; leave --from and --to out"
        )
    return story_of(
        observe_exchange(exchange, request.catalogue),
        exchange.end_ns,
        title=request.title,
        note=f"Recorded at {exchange.url} ({exchange.abilities.name}); times are those of whole transactions.",
    )


def _story_of_capture(request: _Request, progress: Progress) -> Story:
    from m43drivers.capture import open_capture
    from m43drivers.lines import without_dead_lines
    from m43drivers.observe import observe
    from m43tools.render.plots.story import story_of

    capture = open_capture(
        request.captures,
        rate_hz=request.rate,
        channels=request.channels,
        progress=lambda fraction: progress.update(READING, fraction),
    )
    mapping, _ = without_dead_lines(_mapping(capture, request.pins))
    window_ns = request.within(capture.end_ns)
    if window_ns:
        _refuse_crowds(mapping, window_ns)
    return story_of(
        observe(capture, mapping, request.catalogue, progress=lambda fraction: progress.update(DECODING, fraction)),
        capture.end_ns,
        title=request.title,
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
