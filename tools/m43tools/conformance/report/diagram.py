"""The decisive moment of a case -> a timing diagram, true to time, drawn by schemdraw as inline SVG.

Colours are CSS variables of the page, so that one drawing serves light, dark and paper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import schemdraw
from schemdraw import elements, logic

from m43proto.phy import REST_NS, Burst, PinDecoder, WireByte
from m43proto.pins import LINES, Line
from m43tools.conformance.report.words import digits_for, figure, scale_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from m43tools.conformance.model import Exchange

_Tick: TypeAlias = tuple[int, str]
"""A place in the drawing, and words."""

__all__ = ["diagram_of"]

NARROWEST_PX, WIDEST_PX = 1040, 2000
"""Bounds of the width of the traces, so that a byte is readable and a long moment can still be scrolled through."""

CLOSEST_EDGES_PX = 2.2
"""How far apart the closest edges of a moment are drawn, when the width allows."""

TICK_EVERY_PX = 110

LEAD_NS = 20_000
"""How much of the rest before the first edge is drawn."""

REST_MARK = "⋯"
"""What stands around the length of a rest that is cut short."""

_UNIT_PX = 36.0
"""Pixels in a unit of schemdraw, which is also the width of a WaveJSON period with these heights."""

_HEIGHT, _GAP = 0.5, 0.3
_INDENT, _BASELINE = 0.2, 0.04
_CHARACTER_PX = 8.0
_MONOTONE, _GRID, _SIGNAL, _NAMES = "#010101", "#020202", "#030303", "#040404"

_COLOURS = {
    _MONOTONE: "var(--ink-soft)",
    _GRID: "var(--rule)",
    _SIGNAL: "var(--trace)",
    _NAMES: "var(--ink)",
}
"""What schemdraw takes for a colour -> what the page makes of it."""

_STYLE = {
    "yheight": _HEIGHT,
    "ygap": _GAP,
    "risetime": 0.04,
    "grid": False,
    "fontsize": 12,
    "namecolor": _NAMES,
}

_ALWAYS = (Line.CLK, Line.DATA, Line.BODY_ACK, Line.LENS_ACK)
_PATH = re.compile(r'<path d="([^"]*)" style="([^"]*)"[^>]*/>')
_SEVERAL_PATHS = re.compile(r'(?:<path d="[^"]*" style="[^"]*"[^>]*/>)+')
_LINES_ONLY = re.compile(r"(?:[ML] -?[\d.]+,-?[\d.]+ ?)+")
_POINT = re.compile(r"([ML]) (-?[\d.]+),(-?[\d.]+)")
_NUMBER = re.compile(r"-?\d+\.\d{2,}")


@dataclass(frozen=True, slots=True)
class _Span:
    """Words over a stretch of time."""

    start_ns: int
    end_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the drawing.

    Attributes:
        name: what stands before it.
        wave: its states, as WaveJSON writes them.
        times_ns: when each begins, and the end of the last.
        words: what stands in it.
    """

    name: str
    wave: str
    times_ns: tuple[int, ...]
    words: tuple[_Span, ...] = ()

    def drawn(self, clock: _Clock) -> _Row:
        """Return the row with the places of its times in the drawing."""
        words = tuple(_Span(clock.at(one.start_ns), clock.at(one.end_ns), one.text) for one in self.words)
        return _Row(self.name, self.wave, tuple(map(clock.at, self.times_ns)), words)


@dataclass(frozen=True, slots=True)
class _Clock:
    """Where a time is in the drawing: true to scale, but for long rests of all lines, which are cut short.

    Attributes:
        start_ns: where the drawing begins.
        end_ns: where it ends.
        rests: start and end of each rest that is cut short.
        rest_ns: how long such a rest is drawn.
    """

    start_ns: int
    end_ns: int
    rests: tuple[tuple[int, int], ...]
    rest_ns: int

    def at(self, t_ns: int) -> int:
        """Return the place of a time, in nanoseconds of the drawing's scale from its start."""
        place_ns = t_ns - self.start_ns
        for start_ns, end_ns in self.rests:
            if t_ns >= end_ns:
                place_ns -= end_ns - start_ns - self.rest_ns
            elif t_ns > start_ns:
                place_ns -= (t_ns - start_ns) * (end_ns - start_ns - self.rest_ns) // (end_ns - start_ns)
        return place_ns

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """What is drawn true to scale, as starts and ends."""
        edges = [self.start_ns, *(edge for rest in self.rests for edge in rest), self.end_ns]
        return list(zip(edges[::2], edges[1::2], strict=True))


def _clock_of(exchange: Exchange) -> _Clock:
    """Return the times of a drawing: from just before the first edge, with long rests cut short."""
    end_ns = _shown_until(exchange)
    times_ns = sorted({edge.t_ns for edge in exchange.edges})
    lead_ns = max(LEAD_NS, (end_ns - times_ns[0]) // 50)
    start_ns = max(exchange.t_ns, times_ns[0] - lead_ns)
    gaps = list(pairwise([start_ns, *times_ns, max(end_ns, times_ns[-1])]))
    busy_ns = sum(after - before for before, after in gaps if after - before <= REST_NS)
    rests = tuple(gap for gap in gaps if busy_ns and gap[1] - gap[0] > max(REST_NS, busy_ns // 2))
    return _Clock(start_ns, max(end_ns, times_ns[-1]), rests, busy_ns // 8)


def diagram_of(exchange: Exchange, label: str) -> str:
    """Return an SVG element of the lines of an exchange, with its bytes, what they mean, and an axis of time.

    The axis counts from the start of the exchange. Where all lines rest for long, the drawing is cut short and says by
    how much.

    Args:
        exchange: the decisive moment; without edges there is nothing to draw, and the answer is empty.
        label: what a screen reader says of it.
    """
    if not exchange.edges or _shown_until(exchange) <= exchange.t_ns:
        return ""
    clock = _clock_of(exchange)
    scale = _px_per_ns(exchange, clock)
    spoken = [_span_row(name, spans(exchange), clock, scale) for name, spans in _SPOKEN.items()]
    rows = [row for row in spoken if row] + [_line_row(exchange, line, clock) for line in _lines(exchange)]
    drawn = _drawn(
        tuple(row.drawn(clock) for row in rows), tuple(_ticks(exchange, clock, scale)), tuple(_rests(clock)), scale
    )
    return f'<svg class="timing" role="img" aria-label="{_attribute(label)}" {drawn}'


@lru_cache(maxsize=1024)
def _drawn(rows: tuple[_Row, ...], ticks: tuple[_Tick, ...], rests: tuple[_Span, ...], scale: float) -> str:
    """Have the library draw the rows over a grid of time; many cases show the same moment."""
    # The library's settings are global: text stays text, and nothing is opened in a window.
    schemdraw.use("svg")
    schemdraw.svgconfig.text = "text"

    def x(place_ns: float) -> float:
        return place_ns * scale / _UNIT_PX

    waves = [{"name": row.name, "wave": row.wave, "async": [x(at) for at in row.times_ns]} for row in rows]
    with schemdraw.Drawing(show=False, fontsize=11, color=_SIGNAL, transparent=True) as drawing:
        for place_ns, words in ticks:
            _draw_upright(drawing, x(place_ns), len(rows), "-")
            _draw_words(drawing, x(place_ns), words, len(rows))
        drawing.add(logic.TimingDiagram({"signal": waves}, **_STYLE).at((0, 0)).theta(0))
        for rest in rests:
            _draw_upright(drawing, x(rest.start_ns), len(rows), ":")
            _draw_upright(drawing, x(rest.end_ns), len(rows), ":")
            _draw_words(drawing, x((rest.start_ns + rest.end_ns) / 2), rest.text, len(rows))
        for index, row in enumerate(rows):
            for span in row.words:
                at = (x(span.start_ns) + _INDENT, _BASELINE - index * (_HEIGHT + _GAP))
                said = elements.Label().at(at).theta(0)
                drawing.add(said.label(span.text, ofst=0, fontsize=10, color=_NAMES, halign="left", valign="base"))
        return _inlined(drawing.get_imagedata("svg").decode("utf-8"))


def _shown_until(exchange: Exchange) -> int:
    """Return the end of what is drawn: of the window, or of the edges that are left of it."""
    return exchange.edges[-1].t_ns if exchange.cut and exchange.edges else exchange.end_ns


def _px_per_ns(exchange: Exchange, clock: _Clock) -> float:
    """Return the scale at which close edges are apart, within the bounds of the width."""
    span_ns = clock.at(clock.end_ns)
    gaps = sorted(after.t_ns - before.t_ns for before, after in pairwise(exchange.edges) if after.t_ns > before.t_ns)
    close_ns = gaps[len(gaps) // 4] if gaps else span_ns
    width_px = min(max(span_ns * CLOSEST_EDGES_PX / close_ns, NARROWEST_PX), WIDEST_PX)
    return width_px / span_ns


def _lines(exchange: Exchange) -> list[Line]:
    """Return the lines to draw: those of the exchange, and any other that moves."""
    moving = {edge.line for edge in exchange.edges}
    return [line for line in LINES if line in exchange.initial and (line in _ALWAYS or line in moving)]


def _line_row(exchange: Exchange, line: Line, clock: _Clock) -> _Row:
    times_ns, levels = [clock.start_ns], [exchange.initial[line]]
    for edge in exchange.edges:
        if edge.line == line and edge.level != levels[-1]:
            times_ns.append(edge.t_ns)
            levels.append(edge.level)
    return _Row(str(line), "".join(map(str, levels)), (*times_ns, clock.end_ns))


def _span_row(name: str, spans: Iterable[_Span], clock: _Clock, scale: float) -> _Row | None:
    """Return a row of boxes with words in them, and a flat line between; None without any."""
    wave, times_ns, words = "", [clock.start_ns], []
    for span in sorted(spans, key=lambda one: one.start_ns):
        if span.start_ns < times_ns[-1] or span.end_ns <= span.start_ns:
            continue
        if span.start_ns > times_ns[-1]:
            wave += "z"
            times_ns.append(span.start_ns)
        wave += "="
        times_ns.append(span.end_ns)
        if (len(span.text) + 1) * _CHARACTER_PX <= (clock.at(span.end_ns) - clock.at(span.start_ns)) * scale:
            words.append(span)
    if not wave:
        return None
    if times_ns[-1] < clock.end_ns:
        wave += "z"
        times_ns.append(clock.end_ns)
    return _Row(name, wave, tuple(times_ns), tuple(words))


def _messages(exchange: Exchange) -> list[_Span]:
    clock = _clock_of(exchange)
    spans = [
        _Span(max(one.t_ns, clock.start_ns), min(one.end_ns, clock.end_ns), one.name)
        for one in exchange.moments
        if one.kind in ("message", "transaction", "fragment")
    ]
    return [span for span in spans if span.end_ns > span.start_ns]


def _bytes(exchange: Exchange) -> list[_Span]:
    return [_Span(one.t_ns, one.end_ns, f"{one.value:02X}") for one in _wire_bytes(exchange)]


_SPOKEN = {"messages": _messages, "bytes": _bytes}
"""Rows above the lines that say what the lines say."""


def _wire_bytes(exchange: Exchange) -> list[WireByte]:
    """Return the bytes that were clocked, as the engine's own decoder finds them."""
    present = [line for line in LINES if line in exchange.initial]
    if not {Line.CLK, Line.DATA} <= set(present):
        return []
    decoder = PinDecoder(present)
    levels = sum(line.mask for line in present if exchange.initial[line])
    signals = list(decoder.receive(exchange.t_ns, levels))
    for t_ns, changed in _together(exchange):
        for line, level in changed.items():
            levels = levels | line.mask if level else levels & ~line.mask
        signals += decoder.receive(t_ns, levels)
    signals += decoder.finish(exchange.end_ns)
    bursts = [signal.bytes for signal in signals if isinstance(signal, Burst)]
    return [one for bytes_ in bursts for one in bytes_] or [one for one in signals if isinstance(one, WireByte)]


def _together(exchange: Exchange) -> Iterable[tuple[int, dict[Line, int]]]:
    """Return the edges by time: what changed at once, in one piece."""
    changes: dict[int, dict[Line, int]] = {}
    for edge in exchange.edges:
        if edge.line in exchange.initial:
            changes.setdefault(edge.t_ns, {})[Line(edge.line)] = edge.level
    return changes.items()


def _ticks(exchange: Exchange, clock: _Clock, scale: float) -> Iterator[_Tick]:
    """Yield the ticks of the axis: place, and time from the start; steps are 1, 2 or 5 by a power of ten."""
    wanted_ns = max(TICK_EVERY_PX / scale, 1)
    power = 10 ** (len(str(int(wanted_ns))) - 1)
    step_ns = next(power * by for by in (1, 2, 5, 10) if power * by >= wanted_ns)
    by, unit = scale_for("ns", step_ns)
    digits = digits_for([step_ns / by])
    for start_ns, end_ns in clock.stretches:
        first, last = (t_ns - exchange.t_ns for t_ns in (start_ns, end_ns))
        for at in range(-(-first // step_ns), last // step_ns + 1):
            yield clock.at(exchange.t_ns + at * step_ns), f"{figure(at * step_ns / by, digits)} {unit}"


def _rests(clock: _Clock) -> Iterator[_Span]:
    for start_ns, end_ns in clock.rests:
        by, unit = scale_for("ns", end_ns - start_ns)
        length = (end_ns - start_ns) / by
        yield _Span(clock.at(start_ns), clock.at(end_ns), f"{REST_MARK} {figure(length, 1)} {unit} {REST_MARK}")


def _draw_upright(drawing: Any, x: float, rows: int, style: str) -> None:
    line = elements.Line(color=_GRID if style == "-" else _MONOTONE, lw=1, ls=style)
    drawing.add(line.at((x, _HEIGHT + _GAP / 2)).to((x, _foot(rows))).zorder(0))


def _draw_words(drawing: Any, x: float, words: str, rows: int) -> None:
    label = elements.Label().at((x, _foot(rows) - 0.12)).theta(0)
    drawing.add(label.label(words, fontsize=10, color=_MONOTONE, valign="top"))


def _foot(rows: int) -> float:
    return -(_HEIGHT + _GAP) * (rows - 1) - _GAP


def _inlined(svg: str) -> str:
    """Return the library's file as the rest of an SVG element: no ids, our colours, paths of one style as one."""
    body = svg[svg.index(">") + 1 :]
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box  # the library always writes one
    body = re.sub(r"<defs>.*?</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r' clip-path="[^"]*"', "", body)
    body = _SEVERAL_PATHS.sub(lambda found: _joined(_PATH.findall(found[0])), body)
    body = _NUMBER.sub(lambda found: f"{float(found[0]):.1f}", body)
    for colour, variable in _COLOURS.items():
        body = body.replace(colour, variable)
    left, top, width, height = (f"{float(one):.1f}" for one in box[1].split())
    return f'width="{width}" height="{height}" viewBox="{left} {top} {width} {height}">{body}'


def _joined(paths: Sequence[tuple[str, str]]) -> str:
    by_style: dict[str, list[str]] = {}
    for path, style in paths:
        by_style.setdefault(style, []).append(path)
    return "".join(f'<path d="{_shortened(" ".join(all_))}" style="{style}"/>' for style, all_ in by_style.items())


def _shortened(path: str) -> str:
    """Return a path of moves and lines in relative tenths: what goes on where the last piece ended, goes on."""
    if not _LINES_ONLY.fullmatch(path):
        return path
    said: list[str] = []
    at_x = at_y = 0
    for letter, x, y in _POINT.findall(path):
        by_x, by_y = round(float(x) * 10) - at_x, round(float(y) * 10) - at_y
        at_x, at_y = at_x + by_x, at_y + by_y
        if letter == "M" and said and (by_x, by_y) == (0, 0):
            continue
        said.append(_relative(letter, by_x, by_y))
    return "".join(said)


def _relative(letter: str, by_x: int, by_y: int) -> str:
    if letter == "L" and by_y == 0:
        return f"h{by_x / 10:g}"
    if letter == "L" and by_x == 0:
        return f"v{by_y / 10:g}"
    return f"{letter.lower()}{by_x / 10:g} {by_y / 10:g}"


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
