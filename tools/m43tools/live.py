"""``m43 sniff --live``: an analyser is decoded while it runs.

Nothing here waits for a terminal or a disk, so the analyser's samples are never lost to them: rows that the output does
not keep up with are left out and counted, and so are samples that the disk does not keep up with.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from m43drivers.analyser import Notice, open_analyser
from m43drivers.analyser.observing import FoundGate, LiveObserver, beginning, fires_in
from m43drivers.analyser.recorder import LiveRecorder
from m43drivers.analyser.trigger import BlockGate, EdgeTrigger, EventTrigger, parse_trigger
from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.looking import found_lines, living_lines
from m43drivers.capture.stream import Block
from m43drivers.capture.times import nearest
from m43drivers.lines import lines_by_name, lines_by_request
from m43tools.figures import Figures
from m43tools.outlet import Outlet
from m43tools.output import OutputError, open_output
from m43tools.render.glyphs import glyphs_for
from m43tools.screen import DRAW_S, Screen
from m43tools.sniffing import EXIT_FINDINGS, take, write_summary, writer_for
from m43tools.sources import AUTO
from m43tools.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from m43drivers.analyser import Item, LiveStream
    from m43drivers.analyser.observing import LiveFound
    from m43drivers.analyser.trigger import Trigger
    from m43drivers.capture.stream import CaptureStream
    from m43proto.pins import Line
    from m43tools.render.columns import Writer
    from m43tools.sniffing import Request

__all__ = ["MAX_BYTES", "sniff_live"]

MAX_BYTES = 10**9
"""How much is recorded where the user sets no limit."""

PRE_NS = 100_000_000
"""How far back a trigger shows where the user does not say."""

SLACK_NS = 2_000_000_000
"""How far decoding may be behind reading, and a recording still begin where it should."""

PATIENCE_S = 2.0
"""How long the end waits for a slow output, and a limit of time for samples that do not come."""

MOST_KEPT = 1000
"""Lines that are kept for the end of a screen."""

FILE_PATIENCE_S = 60.0
"""How long the end waits for a file."""

EXIT_NOT_RECORDED = 2


def sniff_live(request: Request) -> int:
    """Decode a live source until it ends, its time is over, or the user ends it; return the exit code.

    Raises:
        AnalyserError: the source cannot be opened.
        CaptureError: the lines cannot be told, or the recording cannot be made.
        TriggerError: the trigger says nothing that can happen.
        KeyboardInterrupt: the user did not want to wait for the end.
    """
    trigger = None if request.trigger is None else parse_trigger(request.trigger, request.catalogue)
    if request.watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal on standard output; without it rows are written")
    with ExitStack() as stack:
        live = stack.enter_context(open_analyser(str(request.live), rate_hz=request.rate, channels=request.channels))
        told = Outlet(sys.stderr)
        stack.callback(told.close, PATIENCE_S)
        stack.enter_context(_ended_by_signals(live.stop))
        target = stack.enter_context(open_output(request.output))
        outlet = Outlet(target)
        stack.callback(outlet.close, PATIENCE_S)
        session = _Session(request, trigger, live, outlet, told)
        stack.enter_context(session)
        session.run()
        left = outlet.close(FILE_PATIENCE_S if request.output is not None else PATIENCE_S)
        session.raise_output_error()
        if left:
            told.write(f"m43: {left} lines left out at the end: the output is slower than the traffic\n")
    return session.exit_code


@contextmanager
def _ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C (or SIGTERM) end the source in order, and the next one everything at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        stop()

    before = [(number, signal.signal(number, handle)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _Session:
    """One run; a context that closes its recording and its screen."""

    def __init__(
        self, request: Request, trigger: Trigger | None, live: LiveStream, outlet: Outlet, told: Outlet
    ) -> None:
        self._request = request
        self._live = live
        self._outlet = outlet
        self._told = told
        self._tick_ns = live.capture.tick_ns
        self._summary = Summary(detailed=request.summary)
        self._figures = Figures(str(request.live), self._tick_ns, request.catalogue)
        self._trigger = trigger
        self._gate = None if trigger is None else FoundGate(self._pre_ns)
        self._before: int | None = None
        self._limit = self._ticks(request.duration_ns) if trigger is None and request.duration_ns else None
        self._clock: threading.Timer | None = None
        self._left_out = 0
        self._left_from_ns = 0
        self._writer: Writer | None = None
        self._stream = cast("TextIO", outlet)
        self._screen: Screen | None = None
        self._offered_s = 0.0
        self._kept: deque[str] = deque(maxlen=MOST_KEPT)
        self._forgotten = 0
        self._recording: _Recording | None = None
        self.exit_code = 0

    @property
    def _pre_ns(self) -> int:
        return PRE_NS if self._request.pre_ns is None else int(self._request.pre_ns)

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self._clock is not None:
            self._clock.cancel()
        if self._screen is not None:
            self._screen.offer(self._rows())
            self._screen.__exit__()
            self._screen = None
            if self._forgotten:
                self._told.write(f"m43: {self._forgotten} earlier lines are left out\n")
            self._told.writelines(self._kept)
        if self._recording is not None:
            self._end_recording(self._recording)

    def run(self) -> None:
        """Decode until the source ends, and write what is to be written at the end."""
        asked = self._asked_lines()
        if self._request.record is not None:
            self._recording = _Recording(self._request, self._live.capture, asked, self._trigger, self._pre_ns)
        if self._limit is not None:
            self._watch_clock()
        if asked is not None:
            self._require_edge_in(asked)
            self._begin_to_show()
        items = self._items()
        mapping, read = self._lines(items, asked)
        if asked is None:
            self._require_edge_in(mapping)
            self._begin_to_show()
        observer = LiveObserver(mapping, self._request.catalogue, self._tick_ns)
        for item in chain(read, items):
            self._look_for_edge(item, mapping)
            self._take_all(observer.take(item))
        self._take_all(observer.finish())
        self._finish()

    def _require_edge_in(self, mapping: dict[Line, int]) -> None:
        if isinstance(self._trigger, EdgeTrigger) and self._trigger.line not in mapping:
            have = ", ".join(mapping)
            raise click.UsageError(
                f"--trigger {self._trigger.text}: {self._trigger.line} is not recorded; lines: {have}"
            )

    def _begin_to_show(self) -> None:
        if self._request.watch:
            self._screen = Screen().__enter__()
        elif not self._request.summary:
            self._writer = writer_for(self._request, self._stream)

    def raise_output_error(self) -> None:
        """Raise what the thread that writes has met.

        Raises:
            BrokenPipeError: nobody reads any more.
            OutputError: the output cannot be written.
        """
        error = self._outlet.error
        if isinstance(error, BrokenPipeError):
            raise error
        if error is not None:
            raise OutputError(f"{self._request.output or 'standard output'}: cannot be written: {error.strerror}")

    # what comes

    def _items(self) -> Iterator[Item]:
        """Yield what the source gives, within the time that is asked for; record it, and tell of what is missing."""
        for item in self._live.items():
            limited = self._within_limit(item)
            if limited is None:
                self._live.stop()
                return
            self._figures.add_item(limited)
            if isinstance(limited, Notice):
                self._say(self._ns(limited.tick), f"{limited.kind}: {limited.text}")
            if self._recording is not None:
                self._record(self._recording, limited)
            self._offer()
            yield limited
            self.raise_output_error()

    def _within_limit(self, item: Item) -> Item | None:
        limit = self._limit
        if limit is None:
            return item
        if isinstance(item, Notice):
            return item if item.tick < limit else None
        if item.end < limit:
            return item
        self._live.stop()
        return _up_to(item, limit) if self._figures.end < limit else None

    def _lines(self, items: Iterator[Item], asked: dict[Line, int] | None) -> tuple[dict[Line, int], list[Item]]:
        """Return the channel of each line, and what was read to know it."""
        if asked is None:
            self._tell("m43: waiting for traffic, to find the lines in it\n")
        read = beginning(items, asked)
        blocks = [item for item in read if isinstance(item, Block)]
        seen = replace(self._live.capture, blocks=lambda _: iter(blocks))
        if asked is None:
            _, mapping, finding = found_lines(replace(seen, again=True))
            self._tell(f"m43: --pins {finding}\n")
            return mapping, read
        _, living, dead = living_lines(seen, asked)
        if dead:
            self._tell(f"m43: {', '.join(dead)} never changes: decoding without it\n")
        return living, read

    def _asked_lines(self) -> dict[Line, int] | None:
        """Return the channel of each line as the user or the names tell it, or None to find out."""
        pins, capture = self._request.pins, self._live.capture
        if pins == AUTO:
            return None
        labels = lines_by_request(capture, pins) if isinstance(pins, dict) else lines_by_name(capture)
        return {line: capture.labels.index(label) for line, label in labels.items()}

    def _watch_clock(self) -> None:
        """End the source when its time is over by the clock of this machine, too: perhaps no sample comes."""
        seconds = float(self._request.duration_ns or 0) / 1e9 + PATIENCE_S
        self._clock = threading.Timer(seconds, self._live.stop)
        self._clock.daemon = True
        self._clock.start()

    # triggers

    def _look_for_edge(self, item: Item, mapping: dict[Line, int]) -> None:
        if isinstance(item, Notice):
            self._before = None
            return
        if isinstance(self._trigger, EdgeTrigger) and self._waiting and self._trigger.line in mapping:
            tick = self._trigger.find(item, mapping[self._trigger.line], self._before)
            if tick is not None:
                self._fire(self._ns(tick))
        if item.states.size:
            self._before = int(item.states[-1])

    @property
    def _waiting(self) -> bool:
        return self._gate is not None and self._gate.opened_ns is None

    def _take_all(self, portions: Iterable[LiveFound]) -> None:
        for portion in portions:
            self._figures.add_found(portion)
            if not self._waiting:
                self._show(portion)
                continue
            assert self._gate is not None
            self._gate.hold(portion)
            if isinstance(self._trigger, EventTrigger):
                fired_ns = fires_in(self._trigger, portion, self._request.catalogue)
                if fired_ns is not None:
                    self._fire(fired_ns)

    def _fire(self, t_ns: int) -> None:
        """Begin to show and to record; go on until the time that is asked for is over."""
        assert self._gate is not None
        assert self._trigger is not None
        self._say(t_ns, f"trigger: {self._trigger.text}")
        self._write_record({"event": "trigger", "t_ns": t_ns, "end_ns": t_ns, "detail": self._trigger.text})
        tick = int(t_ns / self._tick_ns)
        if self._request.duration_ns:
            self._limit = tick + self._ticks(self._request.duration_ns)
            end_ns = t_ns + self._request.duration_ns
            self._request = replace(self._request, to_ns=min(self._request.to_ns or end_ns, end_ns))
            self._watch_clock()
        if self._recording is not None:
            self._recording.open(tick, self._limit)
        held = self._gate.open(t_ns)
        begin_ns = max(Fraction(self._gate.opened_ns or 0), self._request.from_ns or Fraction(0))
        self._request = replace(self._request, from_ns=begin_ns)
        for portion in held:
            self._show(portion)

    # what is shown

    def _show(self, portion: LiveFound) -> None:
        if isinstance(portion, Notice):
            self._write_record(self._notice_record(portion))
            return
        writer = self._writer if self._has_room(portion) else None
        take(self._request, self._summary, portion, writer)
        self._summary.forget_polls()

    def _has_room(self, portion: LiveFound) -> bool:
        """Tell whether rows may be written; count them where not."""
        if self._writer is None:
            return True
        if self._left_out and self._outlet.roomy:
            self._tell_left_out()
        if not self._left_out and not self._outlet.full:
            return True
        if not self._left_out:
            self._left_from_ns = self._ns(self._figures.end)
        self._left_out += _rows_of(portion, self._request)
        return False

    def _tell_left_out(self) -> None:
        count, self._left_out = self._left_out, 0
        now_ns = self._ns(self._figures.end)
        text = f"{count} rows left out: the output is slower than the traffic"
        self._say(self._left_from_ns, text)
        self._write_record(
            {"event": "skipped", "t_ns": self._left_from_ns, "end_ns": now_ns, "rows": count, "detail": text}
        )

    def _notice_record(self, notice: Notice) -> dict[str, object]:
        until = None if notice.until is None else self._ns(notice.until)
        return {
            "event": str(notice.kind),
            "t_ns": self._ns(notice.tick),
            "end_ns": until,
            "exact": notice.exact,
            "detail": notice.text,
        }

    def _write_record(self, record: dict[str, object]) -> None:
        if self._writer is not None:
            self._writer.write_record(record)

    def _tell(self, text: str) -> None:
        """Tell the user a line; while there is a screen on the terminal, it is kept for the end."""
        if self._screen is not None and sys.stderr.isatty():
            self._forgotten += len(self._kept) == MOST_KEPT
            self._kept.append(text)
        else:
            self._told.write(text)

    def _say(self, t_ns: int, text: str) -> None:
        self._tell(f"m43: {t_ns / 1e9:.6f} s: {text}\n")

    def _offer(self) -> None:
        now_s = time.monotonic()
        if self._screen is not None and now_s - self._offered_s >= DRAW_S:
            self._offered_s = now_s
            self._screen.offer(self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        recording = [] if self._recording is None else [("recording", self._recording.state)]
        waiting = [("trigger", "waits")] if self._waiting else []
        last = [("last told", self._kept[-1].removeprefix("m43: ").rstrip())] if self._kept else []
        width = shutil.get_terminal_size().columns
        return self._figures.rows(self._summary, glyphs_for(sys.stdout), [*last, *waiting, *recording], width)

    # the end

    def _finish(self) -> None:
        if self._left_out:
            self._tell_left_out()
        if self._writer is not None:
            self._writer.finish()
        elif self._request.summary:
            write_summary(self._request, self._summary, self._stream)
        if self._waiting:
            self._tell(f"m43: the trigger {self._request.trigger} never fired\n")
        elif not self._summary.messages:
            self._tell("m43: no transaction found; are the lines right? Try --pins auto\n")
        if self._summary.findings or self._figures.lost:
            self.exit_code = EXIT_FINDINGS

    def _record(self, recording: _Recording, item: Item) -> None:
        ended = recording.ended
        recording.take(item)
        if recording.ended and not ended:
            self._say(self._ns(self._figures.end), "the recording has ended; decoding goes on")

    def _end_recording(self, recording: _Recording) -> None:
        for line in recording.close():
            self._tell(f"m43: {line}\n")
        if recording.failed:
            self.exit_code = EXIT_NOT_RECORDED

    def _ns(self, tick: int) -> int:
        return nearest(max(tick, 0) * self._tick_ns)

    def _ticks(self, ns: Any) -> int:
        return max(int(ns / self._tick_ns), 1)


def _up_to(block: Block, limit: int) -> Block:
    """Return what a block says of the ticks before a limit."""
    some = block.ticks < limit
    return Block(block.ticks[some], block.states[some], limit - 1)


def _rows_of(portion: LiveFound, request: Request) -> int:
    """Return how many rows a portion would be."""
    choice = request.choice
    if isinstance(portion, Stretch):
        part = choice.part_shown(choice.part_in_time(portion), request.catalogue)
        return len(part.octets) if request.layer == "bytes" else len(part.transactions) + len(part.pins)
    return sum(choice.in_time(event) and choice.shows(event) for event in portion) if isinstance(portion, list) else 0


def _described(request: Request, capture: CaptureStream, trigger: Trigger | None) -> str:
    """Return where a recording comes from, and what of it is not measured."""
    times = capture.provenance.details.get("times")
    begins = f" from the trigger {trigger.text} on" if trigger else ""
    return f"{request.live}{begins}" + (f" ({times})" if times else "")


class _Recording:
    """A recording that begins at once, or where a trigger fires.

    Args:
        request: where to, and how large.
        capture: what is recorded.
        lines: the channel of each line, where it is known.
        trigger: what it waits for, or None.
        pre_ns: how far back it begins.
    """

    def __init__(
        self,
        request: Request,
        capture: CaptureStream,
        lines: dict[Line, int] | None,
        trigger: Trigger | None,
        pre_ns: int,
    ) -> None:
        assert request.record is not None
        by_channel = {channel: str(line) for line, channel in (lines or {}).items()}
        rate_hz = round(1 / capture.tick_ns * 10**9)
        self._recorder = LiveRecorder(
            request.record,
            [by_channel.get(channel, label.name) for channel, label in enumerate(capture.labels)],
            rate_hz,
            source=_described(request, capture, trigger),
            max_bytes=request.max_size or MAX_BYTES,
            files=request.ring or 1,
        )
        self._rate_hz = rate_hz
        self._slack = int(SLACK_NS / capture.tick_ns) if trigger else 0
        self._history = int(pre_ns / capture.tick_ns) + self._slack
        self._gate = BlockGate(self._history) if trigger else None
        self._opened = trigger is None
        self._shift: int | None = None if trigger else 0
        self.failed = False

    @property
    def ended(self) -> bool:
        """Whether it takes no more."""
        return self._recorder.ended

    @property
    def state(self) -> str:
        """What it is doing, in a word or two."""
        return "has ended" if self.ended else "on" if self._opened else "waits for the trigger"

    def take(self, item: Item) -> None:
        """Record a block or a notice, or hold it."""
        if self._opened or self._gate is None:
            self._write(item)
        elif isinstance(item, Notice):
            self._gate = BlockGate(self._history)
        else:
            for block in self._gate.feed(item):
                self._write(block)

    def open(self, tick: int, limit: int | None) -> None:
        """Begin to record at a tick, as far back as is held; what is held goes no further than a limit."""
        self._opened = True
        if self._gate is not None:
            for block in self._gate.open(tick + self._slack):
                if limit is None or block.end < limit:
                    self._write(block)
                elif not block.ticks.size or block.ticks[0] < limit:
                    self._write(_up_to(block, limit))

    def close(self) -> list[str]:
        """Finish the files; return what became of them, in lines."""
        result = self._recorder.close()
        self.failed = result.error is not None
        lines = [str(result.error)] if result.error is not None else []
        names = ", ".join(str(path) for path in result.paths)
        if names:
            full = ", until the size was reached" if result.full else ""
            lines.append(f"{names}: {result.ticks / self._rate_hz:.3f} s recorded{full}")
        elif result.error is None:
            lines.append("nothing was recorded")
        if result.lost_ticks:
            lines.append(
                f"{result.lost_ticks} samples are not in the recording: the disk did not keep up; levels are held"
            )
        return lines

    def _write(self, item: Item) -> None:
        """Hand on an item; the recording begins with its first row."""
        if self._shift is None:
            if isinstance(item, Notice) or not item.ticks.size:
                return
            self._shift = int(item.ticks[0])
        shift = self._shift
        if isinstance(item, Notice):
            until = None if item.until is None else item.until - shift
            self._recorder.take(replace(item, tick=max(item.tick - shift, 0), until=until))
        else:
            self._recorder.take(item if not shift else Block(item.ticks - shift, item.states, item.end - shift))
