"""Events -> rows of text for a person."""

from __future__ import annotations

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
from m43proto.pins import Role
from m43proto.shapes import SHAPES
from m43tools.render.values import decoded, hex_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from m43tools.render.glyphs import Glyphs

__all__ = ["TextWriter"]

_HEADINGS = {"bytes": "byte", "transactions": "transaction", "messages": "message"}
_NAME_WIDTH = 17


class TextWriter:
    """A row per event for a person: time, direction, sums, evidence, name, decoded values.

    Args:
        stream: where to.
        glyphs: the signs to use.
        colour: whether to colour.
        raw: whether to show bytes that nobody understands, too.
        width: columns of the terminal, or None for lines of any length.
    """

    def __init__(
        self, stream: TextIO, layer: str, glyphs: Glyphs, *, colour: bool, raw: bool, width: int | None = None
    ) -> None:
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
        self._stream.write(self._rows[type(event)](event).rstrip() + "\n")

    def write_legend(self) -> None:
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
        return f"{self._style(_seconds(t_ns), dim=True)}  {arrow} {verdict} "

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
