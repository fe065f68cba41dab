"""Events -> rows of text for a person."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from m43proto.events import (
    ByteSeen,
    Event,
    FragmentSeen,
    MessageSeen,
    PinEventSeen,
    TransactionSeen,
    Violation,
)
from m43proto.evidence import Evidence
from m43proto.messages import PUBLIC
from m43proto.pins import Role
from m43proto.shapes import SHAPES
from m43tools.render.bulk import in_order
from m43tools.render.values import decoded, hex_text

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import TextIO

    from m43drivers.bulk.columns import Stretch
    from m43proto.catalogue import Catalogue
    from m43tools.render.bulk import Shown
    from m43tools.render.glyphs import Glyphs
    from m43tools.render.remarks import Remark

__all__ = ["TextWriter"]

_HEADINGS = {"bytes": "byte", "transactions": "transaction", "messages": "message"}
_NAME_WIDTH = 17

_MOST_KNOWN = 1 << 14
"""Lines that are kept at most, without their times: a lens at rest says the same at each poll."""


class TextWriter:
    """A row per event for a person: time, direction, sums, evidence, name, decoded values.

    Args:
        stream: where to.
        glyphs: the signs to use.
        colour: whether to colour.
        raw: whether to show bytes that nobody understands, too.
        width: columns of the terminal, or None for lines of any length.
        catalogue: the messages to know.
    """

    def __init__(
        self,
        stream: TextIO,
        layer: str,
        glyphs: Glyphs,
        *,
        colour: bool,
        raw: bool,
        width: int | None = None,
        catalogue: Catalogue = PUBLIC,
    ) -> None:
        self._layer = layer
        self._catalogue = catalogue
        self._known: dict[Hashable, str] = {}
        self._stream = stream
        self._glyphs = glyphs
        self._colour = colour
        self._raw = raw
        self._width = width
        self._rows: dict[type, Callable[[Any], str]] = {
            ByteSeen: self._byte_row,
            TransactionSeen: self._transaction_row,
            MessageSeen: self._message_row,
            PinEventSeen: self._pin_row,
            Violation: self._violation_row,
            FragmentSeen: self._fragment_row,
        }
        self._stream.write(self._style(self._header(layer), bold=True) + "\n")

    def write(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(self._line(event))

    def write_events(self, events: Sequence[Event]) -> None:
        """Write several."""
        self._stream.write("".join(map(self._line, events)))

    def write_remark(self, remark: Remark) -> None:
        """Write what is no event of the mount."""
        lead = self._lead(remark.t_ns, " " * len(self._glyphs.to_lens), self._verdict(None))
        self._stream.write(lead + self._style(f"{remark.event}: {remark.detail}", fg="yellow", bold=True) + "\n")

    def _line(self, event: Event) -> str:
        return self._rows[type(event)](event).rstrip() + "\n"

    def write_stretch(self, shown: Shown) -> None:
        """Write what is shown of a stretch of regular traffic."""
        if self._layer == "bytes":
            lines = self._byte_rows(shown)
        else:
            pins = shown.stretch.pin_events()
            lines = in_order(shown, self._transaction_rows(shown), [self._line(pins[at]) for at in shown.pins.tolist()])
        self._stream.write("".join(lines))

    def _transaction_rows(self, shown: Shown) -> list[str]:
        stretch, some, octets = shown.stretch, shown.transactions, shown.stretch.values.tobytes()
        columns = (some, stretch.t_ns[some], stretch.firsts[some], stretch.lasts[some])
        return [
            self._timed(t_ns, octets[first:last], partial(self._asked_for, stretch, at))
            for at, t_ns, first, last in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _asked_for(self, stretch: Stretch, at: int) -> Event:
        message = stretch.outline_at(at, self._catalogue)
        return message if self._layer == "messages" else message.transaction

    def _byte_rows(self, shown: Shown) -> list[str]:
        stretch, some = shown.stretch, shown.octets
        columns = (stretch.ns(stretch.ticks[some]), stretch.lens[some], stretch.values[some])
        return [
            self._timed(t_ns, (lens, value), partial(ByteSeen, t_ns, t_ns, Role.LENS if lens else Role.BODY, value))
            for t_ns, lens, value in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _timed(self, t_ns: int, content: Hashable, event: Callable[[], Event]) -> str:
        """Return the line of an event that differs from others of its content in its time only."""
        behind = self._known.get(content)
        if behind is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            seen = event()
            behind = self._known[content] = self._line(seen).removeprefix(self._time(seen.t_ns))
        return self._time(t_ns) + behind

    def finish(self) -> None:
        """Explain the signs."""
        marks = "  ".join(f"{self._glyphs.marks[level]} {level}" for level in Evidence)
        arrows = f"{self._glyphs.to_lens} body to lens  {self._glyphs.to_body} lens to body"
        sums = f"{self._glyphs.good} sums right  {self._glyphs.bad} wrong"
        self._stream.write(self._style(f"{arrows}  {sums}  evidence: {marks}", dim=True) + "\n")

    def _header(self, layer: str) -> str:
        width = len(self._glyphs.to_lens)
        return f"{'time/s':>13}  {'':{width}} {'':{len(self._glyphs.good)}} {_HEADINGS[layer]}"

    def _style(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._colour and text else text

    def _lead(self, t_ns: int, arrow: str, verdict: str) -> str:
        return f"{self._time(t_ns)}  {arrow} {verdict} "

    def _time(self, t_ns: int) -> str:
        return self._style(_seconds(t_ns), dim=True)

    def _arrow(self, sender: Role | None) -> str:
        if sender is Role.BODY:
            return self._style(self._glyphs.to_lens, fg="cyan")
        if sender is Role.LENS:
            return self._style(self._glyphs.to_body, fg="magenta")
        return self._glyphs.nowhere

    def _verdict(self, good: bool | None) -> str:
        if good is None:
            return " " * len(self._glyphs.good)
        return (
            self._style(self._glyphs.good, fg="green") if good else self._style(self._glyphs.bad, fg="red", bold=True)
        )

    def _byte_row(self, event: ByteSeen) -> str:
        return f"{self._lead(event.t_ns, self._arrow(event.sender), self._verdict(None))}{event.value:02X}"

    def _transaction_row(self, event: TransactionSeen) -> str:
        lead = self._lead(event.t_ns, self._arrow(_speaker(event)), self._sums(event))
        parts = [hex_text(event.command), self._sum(event.command_sum, event.command_sum_ok)]
        if event.length is not None:
            parts += [f"[{event.length}]", hex_text(event.data), self._sum(event.data_sum, event.data_sum_ok)]
        if event.status is not None:
            parts.append(f"status {event.status:02X}")
        return f"{lead}{event.shape:<9} {' '.join(part for part in parts if part)}{self._incomplete(event)}"

    def _sums(self, event: TransactionSeen) -> str:
        return self._verdict(None if event.command_sum is None else event.sums_ok)

    def _sum(self, value: int | None, good: bool | None) -> str:
        return "" if value is None else f"={value:02X}{'' if good else self._verdict(good)}"

    def _incomplete(self, event: TransactionSeen) -> str:
        return "" if event.complete else self._style("  (broke off)", fg="yellow")

    def _message_row(self, event: MessageSeen) -> str:
        transaction = event.transaction
        lead = self._lead(event.t_ns, self._arrow(_speaker(transaction)), self._sums(transaction))
        mark = self._glyphs.marks[event.evidence]
        name = self._style(f"{event.name:<{_NAME_WIDTH}}", bold=True)
        provisional = [self._style("PROVISIONAL", fg="yellow")] if event.evidence is Evidence.PROVISIONAL else []
        parts = [*provisional, *decoded(event, self._glyphs, raw=self._raw)]
        return (
            f"{lead}{mark} {name} {self._filled(parts)}{self._wrong_sums(transaction)}{self._incomplete(transaction)}"
        )

    def _filled(self, parts: list[str]) -> str:
        """Join values; on a terminal, in lines that end before its edge and begin below the first value."""
        if self._width is None:
            return self._glyphs.dot.join(parts)
        indent = len(_seconds(0)) + len(self._glyphs.to_lens) + len(self._glyphs.good) + _NAME_WIDTH + 7
        room = max(self._width - indent, _NAME_WIDTH)
        lines: list[str] = []
        for part in parts:
            if lines and len(lines[-1]) + len(self._glyphs.dot) + len(click.unstyle(part)) <= room:
                lines[-1] += self._glyphs.dot + part
            else:
                lines.append(part)
        return f"\n{' ' * indent}".join(lines)

    def _wrong_sums(self, event: TransactionSeen) -> str:
        wrong = [
            f"{what} sum {given:02X} is wrong"
            for what, given, good in (
                ("command", event.command_sum, event.command_sum_ok),
                ("data", event.data_sum, event.data_sum_ok),
            )
            if good is False
        ]
        return self._style("".join(f"  {self._glyphs.bad} {text}" for text in wrong), fg="red", bold=True)

    def _pin_row(self, event: PinEventSeen) -> str:
        lead = self._lead(event.t_ns, self._glyphs.event, self._verdict(None))
        span = _span(event.end_ns - event.t_ns) if event.level is None else _LEVELS[event.level]
        return self._style(f"{lead}  {event.event:<{_NAME_WIDTH}} {span}", dim=True)

    def _violation_row(self, event: Violation) -> str:
        lead = self._lead(event.t_ns, " " * len(self._glyphs.to_lens), self._verdict(good=False))
        data = f" [{hex_text(event.data)}]" if event.data else ""
        return lead + self._style(f"violation: {event.cause}: {event.detail}{data}", fg="red", bold=True)

    def _fragment_row(self, event: FragmentSeen) -> str:
        lead = self._lead(event.t_ns, " " * len(self._glyphs.to_lens), self._verdict(None))
        return lead + self._style(f"fragment: {hex_text(event.data)}", fg="yellow")


_LEVELS = {0: "falls", 1: "rises"}


def _seconds(t_ns: int) -> str:
    return f"{t_ns // 10**9:>3}.{t_ns % 10**9:09d}"


def _span(width_ns: int) -> str:
    """Return a width; nothing for an event of which only the moment is known."""
    return f"{width_ns / 1e6:.3f} ms" if width_ns else ""


def _speaker(event: TransactionSeen) -> Role:
    """Return who tells something: the sender of the block, else the body."""
    return SHAPES[event.shape].block_sender or Role.BODY
