"""A story -> PNG or SVG, by matplotlib."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, BinaryIO

from m43proto.pins import Role
from m43tools.extras import needed
from m43tools.render.plots.story import COLOURS, clock_text

if TYPE_CHECKING:
    from m43tools.render.plots.story import LineTrace, Series, Story

__all__ = ["draw_still"]

WIDTH_IN = 11.0
PANEL_IN = 1.35
LINE_IN = 0.42
HEAD_IN = 1.0
DPI = 110

INK, QUIET, GRID, WINDOW = "#1f2328", "#6a737d", "#e6e8eb", "#fbe9b7"
SENDERS = {Role.BODY: "#cfe3f7", Role.LENS: "#f3d6ec", None: "#e9e9e9"}
WRONG = "#c62828"

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.hashsalt": "m43",
    "svg.fonttype": "none",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}

BAR_ROOM, BYTE_ROOM = 1.15, 0.95
"""Rows, in heights of a line, for the names of transactions and for bytes."""

NOTE_CHARACTERS = 190

CHARACTER_SHARE = 0.0066
"""Width of a character as a share of the axes; text that is wider than its box is left out."""


def draw_still(story: Story, stream: BinaryIO, form: str) -> None:
    """Draw a story.

    Args:
        story: what to draw.
        stream: where to.
        form: ``png`` or ``svg``.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = needed("matplotlib", "plot")
    figure_type = needed("matplotlib.figure", "plot").Figure
    with matplotlib.rc_context(_STYLE):
        heights = [PANEL_IN] * len(story.series)
        if story.window_ns:
            heights.append(LINE_IN * (len(story.lines) + BAR_ROOM + BYTE_ROOM) + 0.3)
        figure = figure_type(figsize=(WIDTH_IN, sum(heights) + HEAD_IN), layout="constrained")
        axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _draw_head(figure, story)
        panels = axes[: len(story.series)]
        for panel, series in zip(panels, story.series, strict=True):
            _draw_series(panel, series, story)
        if len(panels):
            _draw_time(panels, story)
        if story.window_ns:
            _draw_waveform(axes[-1], story)
        figure.savefig(stream, format=form, dpi=DPI, metadata={"Date": None} if form == "svg" else None)


def _draw_head(figure: Any, story: Story) -> None:
    figure.suptitle(story.title, x=0.008, ha="left", fontsize=13, fontweight="bold")
    legend = "dots: polls · dashes: where a drive sends it · triangles: drives"
    text = f"{fill(story.note, NOTE_CHARACTERS)}\n{legend}" if story.note else legend
    figure.text(0.008, 0.004, text, ha="left", va="bottom", fontsize=7, color=QUIET)
    low = 0.16 * (text.count("\n") + 1) / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, low, 1, 1 - low), h_pad=0.05)


def _draw_series(panel: Any, series: Series, story: Story) -> None:
    colour = COLOURS[series.quantity.field]
    low, high = series.extent
    panel.set_ylim(low, high)
    panel.plot(
        series.times_s, series.values, color=colour, linewidth=1.6, marker=".", markersize=4, drawstyle="steps-post"
    )
    for since, until, value in series.targets:
        if low <= value <= high:
            panel.plot([since, until], [value, value], color=colour, linewidth=1.1, linestyle=(0, (4, 3)), alpha=0.65)
        else:
            edge, sign = (0.9, "↑") if value > high else (0.04, "↓")
            panel.text(
                since,
                edge,
                f" {sign} {value:g}",
                transform=panel.get_xaxis_transform(),
                color=colour,
                fontsize=8,
                va="center",
            )
    top = panel.get_xaxis_transform()
    for drive in story.drives:
        panel.axvline(drive.t_s, color=QUIET, linewidth=0.6, alpha=0.5, zorder=0)
        panel.plot([drive.t_s], [1.0], marker="v", markersize=5, color=INK, transform=top, clip_on=False)
    for t_s in series.infinite_s:
        panel.plot([t_s], [0.93], marker="^", markersize=4, color=colour, transform=top)
    if series.infinite_s:
        panel.text(series.infinite_s[0], 0.72, "∞", transform=top, color=colour, ha="center")
    if story.window_ns:
        panel.axvspan(story.window_ns[0] / 1e9, story.window_ns[1] / 1e9, color=WINDOW, zorder=-1)
    panel.set_ylabel(series.label, fontsize=8, rotation=0, ha="right", va="center")
    _clear(panel)


def _clear(panel: Any) -> None:
    panel.grid(visible=True, color=GRID, linewidth=0.7)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _draw_time(panels: Any, story: Story) -> None:
    for panel in panels:
        panel.set_xlim(*story.motion_s)
        panel.tick_params(labelbottom=False)
    panels[-1].tick_params(labelbottom=True)
    panels[-1].set_xlabel("time, s", fontsize=8)
    _name_drives(panels[0], story)


def _name_drives(panel: Any, story: Story) -> None:
    """Write above the first panel what each drive asks for, where there is room for it."""
    low, high = story.motion_s
    ends = [*(drive.t_s for drive in story.drives), high][1:]
    for drive, end in zip(story.drives, ends, strict=True):
        if (end - drive.t_s) / (high - low) > CHARACTER_SHARE * len(drive.words):
            place = panel.get_xaxis_transform()
            panel.text(drive.t_s, 1.05, f"  {drive.words}", transform=place, fontsize=7, color=QUIET, va="center")


def _draw_waveform(panel: Any, story: Story) -> None:
    start, stop = story.window_ns or (0, 1)
    scale, unit = (1e3, "µs") if stop - start < 5_000_000 else (1e6, "ms")

    def at(t_ns: int) -> float:
        return (t_ns - start) / scale

    rows = len(story.lines)
    for row, line in enumerate(story.lines):
        _draw_line(panel, line, rows - 1 - row, [at(t_ns) for t_ns in line.times_ns])
    span = at(stop)
    panel.set_xlim(0, span)
    nexts = [*(octet.t_ns for octet in story.octets), stop][1:]
    for octet, behind in zip(story.octets, nexts, strict=True):
        colour, room = SENDERS[octet.sender], at(behind) - at(octet.t_ns)
        _box(panel, at(octet.t_ns), at(octet.end_ns), rows + 0.1, colour, f"{octet.value:02X}", room / span)
    for one in story.spans:
        colour, room = GRID if one.sound else WRONG, min(at(one.end_ns), span) - max(at(one.t_ns), 0)
        _box(panel, at(one.t_ns), at(one.end_ns), rows + BYTE_ROOM + 0.1, colour, one.name, room / span)
    panel.set_ylim(-0.2, rows + BYTE_ROOM + BAR_ROOM)
    names = [line.name for line in reversed(story.lines)]
    panel.set_yticks([0.35 + row for row in range(rows)] + [rows + 0.42, rows + BYTE_ROOM + 0.42])
    panel.set_yticklabels([*names, "bytes", "transactions"], fontsize=8)
    panel.tick_params(axis="y", length=0, colors=INK)
    panel.set_xlabel(f"{unit} from {clock_text(start)} (blue bytes: body, pink: lens)", fontsize=8)
    panel.grid(visible=True, axis="x", color=GRID, linewidth=0.7)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)


def _draw_line(panel: Any, line: LineTrace, row: int, times: list[float]) -> None:
    levels = [row + 0.7 * level for level in line.levels]
    panel.axhline(row, color=GRID, linewidth=0.5, zorder=0)
    panel.plot(times, levels, color=INK, linewidth=0.9, drawstyle="steps-post")


def _box(panel: Any, start: float, stop: float, bottom: float, colour: str, text: str, room: float) -> None:
    panel.broken_barh([(start, stop - start)], (bottom, 0.68), facecolors=colour, edgecolors="none")
    if room > CHARACTER_SHARE * (len(text) + 0.5):
        low, high = panel.get_xlim()
        middle = (max(start, low) + min(stop, high)) / 2
        panel.text(middle, bottom + 0.32, text, ha="center", va="center", fontsize=7, clip_on=True)
