"""A story -> one HTML page that can be zoomed and works without a network, by plotly."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any, BinaryIO

from m43proto.pins import Role
from m43tools.extras import needed
from m43tools.render.plots.story import COLOURS, clock_text

if TYPE_CHECKING:
    from m43tools.render.plots.story import LineTrace, Series, Story

__all__ = ["draw_interactive"]

PANEL_PX = 150
LINE_PX = 46
HEAD_PX = 170
NOTE_CHARACTERS = 150

MOST_OUTSIDE = 40
"""Bars of one colour up to which a text stands beside its bar where it does not fit into it."""

INK, QUIET, GRID, WINDOW = "#1f2328", "#6a737d", "#e6e8eb", "#fbe9b7"
SENDERS = {Role.BODY: "#2b6cb0", Role.LENS: "#b83280", None: "#777777"}
WRONG = "#c62828"


def draw_interactive(story: Story, stream: BinaryIO) -> None:
    """Draw a story.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    graph = needed("plotly.graph_objects", "plot")
    heights = [PANEL_PX] * len(story.series)
    if story.window_ns:
        heights.append(LINE_PX * (len(story.lines) + 2))
    figure = needed("plotly.subplots", "plot").make_subplots(
        rows=len(heights), cols=1, row_heights=heights, vertical_spacing=36 / sum(heights) if len(heights) > 1 else 0
    )
    for row, series in enumerate(story.series, 1):
        _add_series(graph, figure, series, story, row)
    if story.window_ns:
        _add_waveform(graph, figure, story, len(heights))
    _lay_out(figure, story, sum(heights) + HEAD_PX)
    page: str = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False, "responsive": True})
    stream.write(page.replace("<head>", f"<head><title>{_escaped(story.title)}</title>", 1).encode())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _lay_out(figure: Any, story: Story, height: int) -> None:
    lines = "<br>".join(wrap(_escaped(story.note), NOTE_CHARACTERS))
    note = f"<br><span style='font-size:11px;color:{QUIET}'>{lines}</span>" if story.note else ""
    figure.update_layout(
        title={"text": f"<b>{_escaped(story.title)}</b>{note}", "x": 0.01, "xanchor": "left", "font": {"size": 18}},
        height=height,
        margin={"l": 130, "r": 30, "t": 110, "b": 50},
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        hovermode="closest",
        barmode="overlay",
        uniformtext={"minsize": 8, "mode": "hide"},
        showlegend=False,
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False)
    motions = len(story.series)
    for row in range(1, motions + 1):
        figure.update_xaxes(matches="x", showticklabels=row == motions, row=row, col=1)
    if motions:
        figure.update_xaxes(range=story.motion_s, row=1, col=1)
        figure.update_xaxes(title_text="time, s", title_standoff=4, row=motions, col=1)


def _add_series(graph: Any, figure: Any, series: Series, story: Story, row: int) -> None:
    colour = COLOURS[series.quantity.field]
    hover = f"%{{x:.6f}} s<br>{series.quantity.name}: %{{y:.4g}}<extra></extra>"
    line = {"color": colour, "width": 2, "shape": "hv"}
    figure.add_trace(
        graph.Scatter(
            x=series.times_s, y=series.values, mode="lines+markers", line=line, marker={"size": 4}, hovertemplate=hover
        ),
        row=row,
        col=1,
    )
    low, high = series.extent
    top = high - (high - low) * 0.05
    for since, until, value in series.targets:
        figure.add_trace(
            graph.Scatter(
                x=[since, until],
                y=[min(max(value, low), top)] * 2,
                mode="lines",
                line={"color": colour, "width": 1.2, "dash": "dash" if low <= value <= high else "dot"},
                hovertemplate=f"target {value:.4g}<extra></extra>",
            ),
            row=row,
            col=1,
        )
    _add_marks(
        graph,
        figure,
        [drive.t_s for drive in story.drives],
        top,
        row,
        "triangle-down",
        INK,
        [d.words for d in story.drives],
    )
    _add_marks(graph, figure, series.infinite_s, top, row, "triangle-up", colour, ["infinity"] * len(series.infinite_s))
    if story.window_ns:
        start, stop = story.window_ns
        figure.add_vrect(x0=start / 1e9, x1=stop / 1e9, fillcolor=WINDOW, line_width=0, layer="below", row=row, col=1)
    title = series.label.replace("\n", "<br>")
    figure.update_yaxes(title_text=title, title_font_size=11, range=[low, high], row=row, col=1)


def _add_marks(
    graph: Any, figure: Any, times_s: list[float], y: float, row: int, symbol: str, colour: str, words: list[str]
) -> None:
    if times_s:
        figure.add_trace(
            graph.Scatter(
                x=times_s,
                y=[y] * len(times_s),
                mode="markers",
                marker={"symbol": symbol, "size": 9, "color": colour},
                text=words,
                hovertemplate="%{x:.6f} s<br>%{text}<extra></extra>",
            ),
            row=row,
            col=1,
        )


def _add_waveform(graph: Any, figure: Any, story: Story, row: int) -> None:
    start, stop = story.window_ns or (0, 1)
    rows = len(story.lines)
    for index, line in enumerate(story.lines):
        figure.add_trace(_line_trace(graph, line, rows - 1 - index, start), row=row, col=1)
    for sender in SENDERS:
        said = [octet for octet in story.octets if octet.sender is sender]
        places = [(octet.t_ns - start, octet.end_ns - start) for octet in said]
        texts = [f"{octet.value:02X}" for octet in said]
        figure.add_trace(
            _bars(graph, places, rows, SENDERS[sender], texts, str(sender or "unknown sender")), row=row, col=1
        )
    for sound, colour, words in ((True, QUIET, "sums right"), (False, WRONG, "wrong sum")):
        spans = [span for span in story.spans if span.sound is sound]
        places = [(span.t_ns - start, span.end_ns - start) for span in spans]
        figure.add_trace(_bars(graph, places, rows + 1, colour, [span.name for span in spans], words), row=row, col=1)
    names = [*(line.name for line in reversed(story.lines)), "bytes", "transactions"]
    figure.update_yaxes(
        tickvals=[at + 0.35 for at in range(rows + 2)], ticktext=names, range=[-0.2, rows + 1.9], row=row, col=1
    )
    title = f"µs from {clock_text(start)} (blue bytes: body, pink: lens)"
    figure.update_xaxes(title_text=title, range=[0, (stop - start) / 1e3], row=row, col=1)


def _line_trace(graph: Any, line: LineTrace, row: int, start: int) -> Any:
    return graph.Scatter(
        x=[(t_ns - start) / 1e3 for t_ns in line.times_ns],
        y=[row + 0.7 * level for level in line.levels],
        mode="lines",
        line={"color": INK, "width": 1.2, "shape": "hv"},
        hovertemplate=f"{line.name} %{{x:.3f}} µs<extra></extra>",
    )


def _bars(graph: Any, places: list[tuple[int, int]], row: int, colour: str, texts: list[str], more: str) -> Any:
    return graph.Bar(
        base=[t_ns / 1e3 for t_ns, _ in places],
        x=[(end_ns - t_ns) / 1e3 for t_ns, end_ns in places],
        y=[row + 0.35] * len(places),
        width=0.7,
        orientation="h",
        marker={"color": colour, "line": {"width": 0}},
        text=texts,
        textposition="auto" if len(places) <= MOST_OUTSIDE else "inside",
        insidetextanchor="middle",
        textangle=0,
        insidetextfont={"color": "white"},
        outsidetextfont={"color": INK, "size": 10},
        hovertemplate=f"%{{text}} ({more})<br>%{{base:.3f}} µs, %{{x:.3f}} µs long<extra></extra>",
    )
