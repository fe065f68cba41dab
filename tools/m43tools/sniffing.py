"""What ``m43 sniff`` shows of what was found, and how: the same for files and for live sources."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.bulk.columns import PIN_EVENTS, Stretch
from m43drivers.bulk.decoder import End
from m43proto.connection import UNKNOWN
from m43proto.events import ByteSeen, FragmentSeen, MessageSeen, PinEventSeen, TransactionSeen, Violation
from m43proto.records import record
from m43tools.render.binary import BINARY_FORMATS
from m43tools.render.bulk import Shown, everything
from m43tools.render.columns import CsvWriter, JsonWriter, Writer
from m43tools.render.records import event_name
from m43tools.render.rendering import Rendering

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path
    from typing import BinaryIO, TextIO

    from numpy.typing import NDArray

    from m43drivers.bulk.decoder import Found
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43tools.render.binary import BinaryWriter
    from m43tools.render.remarks import Remark
    from m43tools.summary import Summary

__all__ = [
    "EXIT_FINDINGS",
    "LAYERS",
    "Choice",
    "Request",
    "binary_writer_for",
    "colours",
    "take",
    "write_summary",
    "writer_for",
]

EXIT_FINDINGS = 1

LAYERS: dict[str, tuple[type, ...]] = {
    "bytes": (ByteSeen, Violation, FragmentSeen),
    "transactions": (TransactionSeen, PinEventSeen, Violation, FragmentSeen),
    "messages": (MessageSeen, PinEventSeen, Violation, FragmentSeen),
}
"""What each layer shows."""


@record(frozen=True, slots=True)
class Choice:
    """What the user wants to see.

    Attributes:
        layer: a key of `LAYERS`.
        from_ns: from when on, or None.
        to_ns: until when, or None.
        only: names of messages and events; empty for all.
    """

    layer: str
    from_ns: Fraction | None
    to_ns: Fraction | None
    only: frozenset[str]

    @property
    def always(self) -> bool:
        """Whether all of the time is asked for."""
        return self.from_ns is None and self.to_ns is None

    def in_time(self, event: Event) -> bool:
        """Tell whether an event begins in the time that is asked for."""
        return (self.from_ns is None or event.t_ns >= self.from_ns) and (self.to_ns is None or event.t_ns < self.to_ns)

    def shows(self, event: Event) -> bool:
        """Tell whether an event is shown."""
        return isinstance(event, LAYERS[self.layer]) and (not self.only or event_name(event) in self.only)

    def part_in_time(self, stretch: Stretch) -> Shown:
        """Return what of a stretch lies in the time that is asked for."""
        if self.always:
            return everything(stretch)
        starts = (stretch.t_ns, stretch.ns(stretch.pins.ticks), stretch.ns(stretch.ticks))
        return Shown(stretch, *(np.flatnonzero(self._within(t_ns)) for t_ns in starts))

    def _within(self, t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        within = np.ones(len(t_ns), bool)
        if self.from_ns is not None:
            within &= t_ns >= math.ceil(self.from_ns)
        if self.to_ns is not None:
            within &= t_ns < math.ceil(self.to_ns)
        return within

    def part_shown(self, shown: Shown, catalogue: Catalogue) -> Shown:
        """Leave out the messages and events that are not asked for."""
        if not self.only:
            return shown
        opcodes = shown.stretch.opcodes[shown.transactions]
        named = [opcode for opcode in np.unique(opcodes).tolist() if _name_of(opcode, catalogue) in self.only]
        kinds = [number for number, event in enumerate(PIN_EVENTS) if event in self.only]
        return replace(
            shown,
            transactions=shown.transactions[np.isin(opcodes, named)],
            pins=shown.pins[np.isin(shown.stretch.pins.kinds[shown.pins], kinds)],
        )


def _name_of(opcode: int, catalogue: Catalogue) -> str:
    kind = catalogue.find(opcode.to_bytes(2, "big"))
    return kind.spec.name if kind else UNKNOWN


@record(frozen=True, slots=True, kw_only=True)
class Request:
    """The command line."""

    catalogue: Catalogue
    captures: tuple[Path, ...]
    layer: str
    form: str
    output: Path | None
    from_ns: Fraction | None
    to_ns: Fraction | None
    only: frozenset[str]
    summary: bool
    raw: bool
    pins: str | dict[str, str] | None
    rate: Fraction | None
    channels: int | None
    live: str | None = None
    watch: bool = False
    trigger: str | None = None
    pre_ns: Fraction | None = None
    record: Path | None = None
    max_size: int | None = None
    ring: int | None = None
    duration_ns: Fraction | None = None

    @property
    def choice(self) -> Choice:
        """Return what is to be shown."""
        return Choice(self.layer, self.from_ns, self.to_ns, self.only)


def take(request: Request, summary: Summary, portion: Found, writer: Writer | None) -> None:
    """Count one portion, and write what is to be shown of it."""
    choice, catalogue = request.choice, request.catalogue
    if isinstance(portion, End):
        summary.end_ns = portion.t_ns
    elif isinstance(portion, Stretch):
        part = choice.part_in_time(portion)
        summary.add_stretch(part, catalogue)
        if writer is not None:
            writer.write_stretch(choice.part_shown(part, catalogue))
    else:
        in_time = portion if choice.always else list(filter(choice.in_time, portion))
        for event in in_time:
            summary.add(event)
        if writer is not None:
            writer.write_events(list(filter(choice.shows, in_time)))


def writer_for(request: Request, stream: TextIO, shown_on: TextIO | None = None) -> Writer:
    """Return what writes to a stream as the user wants it.

    Args:
        request: what the user wants.
        stream: where it writes.
        shown_on: where that is shown in the end, if it is somewhere else.
    """
    if request.form == "jsonl":
        return JsonWriter(stream, request.layer, request.catalogue)
    if request.form == "csv":
        return CsvWriter(stream, request.layer, request.catalogue)
    from m43tools.render.glyphs import glyphs_for  # As the summary's, text's modules are not needed for other forms.
    from m43tools.render.text import TextWriter

    shown_on = shown_on or stream
    width = shutil.get_terminal_size().columns if shown_on.isatty() else None
    return TextWriter(
        stream,
        request.layer,
        glyphs_for(shown_on),
        colour=colours(shown_on),
        raw=request.raw,
        width=width,
        catalogue=request.catalogue,
    )


def binary_writer_for(request: Request, stream: BinaryIO) -> Writer:
    """Return what writes to a stream of bytes in the binary format that the user wants.

    Raises:
        MissingExtraError: what writes this format is not installed.
    """
    capture = str(request.captures[0]) if request.live is None else request.live
    how = Rendering(layer=request.layer, catalogue=request.catalogue, capture=capture, live=request.live is not None)
    return _EventRows(BINARY_FORMATS[request.form].open(stream, how), request)


class _EventRows:
    """Writes event by event, for a format that knows no more."""

    def __init__(self, writer: BinaryWriter, request: Request) -> None:
        self._writer = writer
        self._kinds = LAYERS[request.layer]
        self._catalogue = request.catalogue

    def write(self, event: Event) -> None:
        """Write one event."""
        self._writer.write(event)

    def write_events(self, events: Sequence[Event]) -> None:
        """Write several."""
        for event in events:
            self._writer.write(event)

    def write_stretch(self, shown: Shown) -> None:
        """Write what is shown of a stretch of regular traffic, one by one."""
        transactions = set(shown.transactions.tolist())
        wanted = {
            ByteSeen: set(shown.octets.tolist()),
            TransactionSeen: transactions,
            MessageSeen: transactions,
            PinEventSeen: set(shown.pins.tolist()),
        }
        numbers = {kind: count() for kind in wanted}
        for event in shown.stretch.events(self._catalogue):
            kind = type(event)
            if next(numbers[kind]) in wanted[kind] and kind in self._kinds:
                self._writer.write(event)

    def write_remark(self, remark: Remark) -> None:
        """Write what a live source adds to the events."""
        self._writer.write_remark(remark)

    def finish(self) -> None:
        """Write what stands behind the last event."""
        self._writer.close()


def colours(stream: TextIO) -> bool:
    """Tell whether a stream takes colours."""
    return stream.isatty() and "NO_COLOR" not in os.environ


def write_summary(request: Request, summary: Summary, stream: TextIO) -> None:
    """Write the figures as the user wants them."""
    from m43tools.render.summary import summary_json, summary_text

    write = summary_json if request.form == "jsonl" else summary_text
    write(summary, stream)
