"""``m43 sniff --live``: an analyser is decoded while it runs.

Nothing here waits for a terminal or a disk, so the analyser's samples are never lost to them: rows that the output does
not keep up with are left out and counted, and so are samples that the disk does not keep up with.
"""

from __future__ import annotations

import io
import shutil
import signal
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

import click

from m43drivers.analyser import Notice, open_analyser
from m43drivers.analyser.observing import LONGEST_NS, FoundGate, LiveObserver, beginning, fires_in
from m43drivers.analyser.recorder import LiveRecorder
from m43drivers.analyser.trigger import BlockGate, EdgeTrigger, EventTrigger, parse_trigger
from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.looking import found_lines, living_lines
from m43drivers.capture.stream import Block
from m43drivers.capture.times import nearest
from m43drivers.lines import lines_by_name, lines_by_request
from m43tools.figures import Figures
from m43tools.memory import give_back
from m43tools.outlet import BinaryOutlet, TextOutlet
from m43tools.output import OutputError, open_binary_output, open_output
from m43tools.render.binary import BINARY_FORMATS
from m43tools.render.glyphs import glyphs_for
from m43tools.render.remarks import Remark
from m43tools.screen import DRAW_S, Screen
from m43tools.sniffing import EXIT_FINDINGS, binary_writer_for, take, write_summary, writer_for
from m43tools.sources import AUTO
from m43tools.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from m43drivers.analyser import Item, LiveStream
    from m43drivers.analyser.observing import LiveFound
    from m43drivers.analyser.trigger import Trigger
    from m43drivers.capture.stream import CaptureStream
    from m43proto.pins import Line
    from m43tools.outlet import Outlet
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

GIVE_BACK_S = 20.0
"""How often memory that is not needed any more is given back."""

MOST_KEPT = 1000
"""Lines that are kept for the end of a screen."""

FILE_PATIENCE_S = 60.0
"""How long the end waits for a file, and for a reader of what is a file when it is whole."""

EXIT_NOT_RECORDED = 2


def sniff_live(request: Request) -> int:
    """Decode a live source until it ends, its time is over, or the user ends it; return the exit code.

    Raises:
        AnalyserError: the source cannot be opened.
        CaptureError: the lines cannot be told, or the recording cannot be made.
        MissingExtraError: what writes the format is not installed.
        TriggerError: the trigger says nothing that can happen.
        KeyboardInterrupt: the user did not want to wait for the end.
    """
    binary = request.form in BINARY_FORMATS
    trigger = None if request.trigger is None else parse_trigger(request.trigger, request.catalogue)
    if request.watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal on standard output; without it rows are written")
    if binary:
        binary_writer_for(request, io.BytesIO())  # What is not installed is said before the analyser begins.
    with ExitStack() as stack:
        live = stack.enter_context(open_analyser(str(request.live), rate_hz=request.rate, channels=request.channels))
        told = TextOutlet(sys.stderr)
        stack.callback(told.close, PATIENCE_S)
        ending = stack.enter_context(_ended_by_signals(live.stop))
        ending.hurries.append(told.give_up)
        outlet: Outlet[Any]
        if binary:
            outlet = BinaryOutlet(stack.enter_context(open_binary_output(request.output)))
            writer = partial(binary_writer_for, request, cast("BinaryIO", outlet))
        else:
            outlet = TextOutlet(stack.enter_context(open_output(request.output)))
            writer = partial(writer_for, request, cast("TextIO", outlet))
        stack.callback(outlet.close, PATIENCE_S)
        ending.hurries.append(outlet.give_up)
        session = _Session(request, trigger, live, outlet, writer, told, ending)
        stack.enter_context(session)
        session.run()
        left = outlet.close(FILE_PATIENCE_S if binary or request.output is not None else PATIENCE_S)
        session.raise_output_error()
        ending.raise_if_hurried()
        if left and request.output is not None:
            raise OutputError(f"{request.output}: cannot be written: it takes longer than {FILE_PATIENCE_S:g} s")
        if left:
            what = f"the {request.form} output is not whole" if binary else f"{left} lines left out at the end"
            told.write(f"m43: {what}: its reader is slower than the traffic\n")
    ending.raise_if_hurried()
    return session.exit_code


class _Ending:
    """What Ctrl-C (or SIGTERM) has asked for.

    The first ends the source in order. The second is not raised wherever the program happens to be, where it could
    leave half a file or a disarranged terminal: it interrupts the wait for the source, and shortens the other waits.

    Args:
        stop: ends the source.

    Attributes:
        hurries: what shortens a wait that may be long.
        waiting: whether nothing is done but to wait for the source.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._asked = 0
        self.hurries: list[Callable[[], None]] = []
        self.waiting = False

    def handle(self, number: int, frame: object) -> None:
        """Take a signal."""
        self._asked += 1
        if self._asked == 1:
            self._stop()
        if self._asked == 2:
            for hurry in self.hurries:
                hurry()
            if self.waiting:
                raise KeyboardInterrupt

    def raise_if_hurried(self) -> None:
        """Raise KeyboardInterrupt when the end shall not be waited for."""
        if self._asked > 1:
            raise KeyboardInterrupt

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Have nothing interrupted while the source is waited for."""
        self.waiting = False
        yield
        self.raise_if_hurried()
        self.waiting = True

    def awaited(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield what a source gives, as long as it is waited for."""
        while True:
            self.waiting = True
            item = next(items, None)
            self.waiting = False
            if item is None:
                return
            self.raise_if_hurried()
            yield item


@contextmanager
def _ended_by_signals(stop: Callable[[], None]) -> Iterator[_Ending]:
    """Have the first Ctrl-C (or SIGTERM) end the source in order, and the next one everything at once."""
    ending = _Ending(stop)
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    before = [(number, signal.signal(number, ending.handle)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield ending
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _Session:
    """One run; a context that closes its recording and its screen."""

    def __init__(
        self,
        request: Request,
        trigger: Trigger | None,
        live: LiveStream,
        outlet: Outlet[Any],
        open_writer: Callable[[], Writer],
        told: TextOutlet,
        ending: _Ending,
    ) -> None:
        self._request = request
        self._live = live
        self._outlet = outlet
        self._open_writer = open_writer
        self._told = told
        self._ending = ending
        self._tick_ns = live.capture.tick_ns
        self._summary = Summary(detailed=request.summary)
        self._figures = Figures(str(request.live), self._tick_ns, request.catalogue)
        self._everything = replace(request, from_ns=None, to_ns=None)
        self._counted = Summary(detailed=False)
        self._trigger = trigger
        self._gate = None if trigger is None else FoundGate(self._pre_ns)
        self._before: int | None = None
        self._limit = self._first_limit()
        self._clock: threading.Timer | None = None
        self._left_out = 0
        self._left_from_ns = 0
        self._writer: Writer | None = None
        self._screen: Screen | None = None
        self._offered_s = 0.0
        self._given_back_s = time.monotonic()
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
        self._stop_clock()
        if self._screen is not None:
            self._draw(self._screen)
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
            self._ending.hurries.append(self._recording.hurry)
        if self._limit is not None:
            self._watch_clock(self._limit)
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
        self._ending.raise_if_hurried()
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
        elif self._trigger is not None:
            self._tell(f"m43: waiting for the trigger {self._trigger.text}\n")
        if self._request.summary or (self._request.watch and self._request.output is None):
            return
        self._writer = self._open_writer()

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
        for item in self._ending.awaited(self._live.items(idle=self._idle if self._request.watch else None)):
            limited = self._within_limit(item)
            if limited is None:
                self._live.stop()
                return
            self._figures.add_item(limited)
            if isinstance(limited, Notice):
                self._say_beside_rows(self._ns(limited.tick), f"{limited.kind}: {limited.text}")
            if self._recording is not None:
                self._record(self._recording, limited)
            self._offer()
            self._tidy()
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

    def _first_limit(self) -> int | None:
        """Return the tick at which it ends, or None where only the user, or a trigger, tells.

        What begins before ``--to`` may end later; when it was shown, there is nothing to do but to record, or to watch.
        """
        request = self._request
        if request.duration_ns and self._trigger is None:
            return self._ticks(request.duration_ns)
        if request.to_ns and request.record is None and not request.watch:
            return self._ticks(request.to_ns + LONGEST_NS)
        return None

    def _watch_clock(self, ticks: int) -> None:
        """End the source when its time is over by the clock of this machine, too: perhaps no sample comes."""
        seconds = float(ticks * self._tick_ns) / 1e9 + PATIENCE_S
        self._stop_clock()
        self._clock = threading.Timer(seconds, self._live.stop)
        self._clock.daemon = True
        self._clock.start()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock.join()

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
            if self._screen is not None and not isinstance(portion, Notice):
                take(self._everything, self._counted, portion, None)
                self._counted.forget_polls()
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
        self._say_beside_rows(t_ns, f"trigger: {self._trigger.text}")
        self._write_remark(Remark("trigger", t_ns, t_ns, self._trigger.text))
        tick = int(t_ns / self._tick_ns)
        if self._request.duration_ns:
            duration = self._ticks(self._request.duration_ns)
            self._limit = tick + duration
            end_ns = t_ns + self._request.duration_ns
            self._request = replace(self._request, to_ns=min(self._request.to_ns or end_ns, end_ns))
            self._watch_clock(duration)
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
            self._write_remark(self._remark_of(portion))
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
        self._say_beside_rows(self._left_from_ns, text)
        self._write_remark(Remark("skipped", self._left_from_ns, now_ns, text, {"rows": count}))

    def _remark_of(self, notice: Notice) -> Remark:
        until_ns = None if notice.until is None else self._ns(notice.until)
        return Remark(str(notice.kind), self._ns(notice.tick), until_ns, notice.text, {"exact": notice.exact})

    def _write_remark(self, remark: Remark) -> None:
        if self._writer is not None:
            self._writer.write_remark(remark)

    def _tell(self, text: str) -> None:
        """Tell the user a line; while there is a screen on the terminal, it is kept for the end."""
        if self._screen is not None and sys.stderr.isatty():
            self._forgotten += len(self._kept) == MOST_KEPT
            self._kept.append(text)
        else:
            self._told.write(text)

    def _say_beside_rows(self, t_ns: int, text: str) -> None:
        """Tell the user what is a row, too, unless that row stands on the same terminal."""
        in_rows = self._writer is not None and self._request.form == "text" and not self._waiting
        if not (in_rows and self._outlet.isatty() and sys.stderr.isatty()):
            self._say(t_ns, text)

    def _say(self, t_ns: int, text: str) -> None:
        self._tell(f"m43: {t_ns / 1e9:.6f} s: {text}\n")

    def _idle(self) -> None:
        """Have the screen tell that nothing comes."""
        with self._ending.busy():
            self._offer()

    def _offer(self) -> None:
        now_s = time.monotonic()
        if self._screen is not None and now_s - self._offered_s >= DRAW_S:
            self._offered_s = now_s
            self._draw(self._screen)

    def _tidy(self) -> None:
        now_s = time.monotonic()
        if now_s - self._given_back_s >= GIVE_BACK_S:
            self._given_back_s = now_s
            give_back()

    def _draw(self, screen: Screen) -> None:
        screen.offer(self._rows(), self._figures.alarms(self._counted))

    def _rows(self) -> list[tuple[str, str]]:
        recording = [] if self._recording is None else [("recording", self._recording.state)]
        waiting = [("trigger", "waits")] if self._waiting else []
        last = [("last told", self._kept[-1].removeprefix("m43: ").rstrip())] if self._kept else []
        size = shutil.get_terminal_size()
        return self._figures.rows(self._counted, glyphs_for(sys.stdout), [*last, *waiting, *recording], size)

    # the end

    def _finish(self) -> None:
        if self._left_out:
            self._tell_left_out()
        if self._writer is not None:
            self._writer.finish()
        elif self._request.summary:
            write_summary(self._request, self._summary, cast("TextIO", self._outlet))
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

    def hurry(self) -> None:
        """Have the files finished without what still waits for the disk."""
        self._recorder.hurry()

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
