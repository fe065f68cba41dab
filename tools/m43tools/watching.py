"""``m43 lens watch``: follows a lens, and the one that takes its place, in a live table, in rows, or in JSON lines."""

from __future__ import annotations

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

import click

from m43drivers.body import Life
from m43drivers.body.errors import LensGoneError, LensPassiveError
from m43tools.driving import run
from m43tools.render.glyphs import glyphs_for
from m43tools.render.lens import identity_record, identity_rows, legend, place_rows, status_record, status_rows

if TYPE_CHECKING:
    from rich.console import RenderableType

    from m43drivers.body import BodyDriver, Lens, LensStatus
    from m43tools.driving import Session
    from m43tools.render.lens import Row

__all__ = ["Pace", "watch"]

DRAW_S = 0.1
"""How often a table is drawn anew."""

PACE_NS = 1_000_000_000
"""Over how long the rate of polls is measured."""


def watch(session: Session, count: int | None, seconds: float) -> None:
    """Follow the lens until the user, or one of the limits, ends it.

    Args:
        session: which lens, and how to show it.
        count: how many statuses, or None for any number.
        seconds: how long; infinity for ever.

    Raises:
        click.exceptions.Exit: no lens ever answered, or the mount was lost; the line that says so is printed.
    """

    async def work(lens: Lens) -> None:
        with _view(session, lens.driver) as view:
            told = await _follow(lens.driver, view, count, seconds)
        if not told:
            raise LensPassiveError(f"{session.url}: nothing has answered; attach a lens with contacts")

    run(session, work, passive=True)


def _view(session: Session, driver: BodyDriver) -> View:
    if session.as_json:
        return _JsonView(driver)
    return _TableView(driver) if sys.stdout.isatty() else _RowView(driver)


async def _follow(driver: BodyDriver, view: View, count: int | None, seconds: float) -> int:
    """Show one lens after the other; return how many statuses there were."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    told = 0
    while loop.time() < end_s:
        assert driver.lens is not None
        lens, statuses = driver.lens, driver.lens.statuses()
        view.attach(lens)
        while (count is None or told < count) and loop.time() < end_s:
            try:
                async with asyncio.timeout_at(min(loop.time() + DRAW_S, end_s)):
                    status = await anext(statuses)
            except TimeoutError:
                view.refresh()
            except LensGoneError as error:
                view.detach(error)
                await _another(driver, lens, view, end_s)
                break
            except StopAsyncIteration:
                return told
            else:
                told += 1
                view.take(lens, status, statuses.dropped)
        else:
            return told
    return told


async def _another(driver: BodyDriver, ended: Lens, view: View, end_s: float) -> None:
    """Wait for the handle that takes the place of one that has ended."""
    loop = asyncio.get_running_loop()
    while driver.lens is ended and driver.life is not Life.FAILED and loop.time() < end_s:
        await asyncio.sleep(DRAW_S)
        view.refresh()


class Pace:
    """How many polls there are in a second, by their times."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque()

    def add(self, t_ns: int) -> None:
        """Take note of a poll."""
        self._times_ns.append(t_ns)
        while self._times_ns[0] < t_ns - PACE_NS:
            self._times_ns.popleft()

    @property
    def rate_hz(self) -> float | None:
        """The rate, or None with fewer than two polls in the last second."""
        if len(self._times_ns) < 2:
            return None
        return (len(self._times_ns) - 1) * 1e9 / (self._times_ns[-1] - self._times_ns[0])


class View(ABC):
    """Shows a lens; a context that begins and ends what it shows.

    Args:
        driver: what drives the lens.
    """

    def __init__(self, driver: BodyDriver) -> None:
        self.driver = driver
        self.start_ns = driver.transport.now_ns()
        self.pace = Pace()
        self.dropped = 0
        self.polls = driver.counters["polls"]

    @abstractmethod
    def attach(self, lens: Lens) -> None:
        """Show that a lens is on the mount, or none."""

    @abstractmethod
    def detach(self, error: LensGoneError) -> None:
        """Show that it is not on the mount any more."""

    @abstractmethod
    def refresh(self) -> None:
        """Show that time passes."""

    def take(self, lens: Lens, status: LensStatus, dropped: int) -> None:
        """Show a status."""
        self.pace.add(status.t_ns)
        self.dropped = dropped

    @property
    def errors(self) -> dict[str, int]:
        """What went wrong, by cause."""
        return {cause: count for cause, count in sorted(self.driver.counters.items()) if cause != "polls" and count}

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def elapsed_ns(self, t_ns: int) -> int:
        """Return a time of the transport, from when the view began."""
        return t_ns - self.start_ns

    def figures(self) -> list[Row]:
        """Return the rates and the errors."""
        rate = self.pace.rate_hz
        wrong = ", ".join(f"{cause} {count}" for cause, count in self.errors.items())
        return [
            ("polls", "-" if rate is None else f"{rate:.1f} per second"),
            ("missed here", str(self.dropped)),
            ("errors", wrong or "none"),
        ]


class _StreamView(View):
    """Writes line after line."""

    def refresh(self) -> None:
        sys.stdout.flush()


class _JsonView(_StreamView):
    """JSON lines: a status each, and lines with the key ``event``."""

    def attach(self, lens: Lens) -> None:
        self._write(event="attached" if lens.identity else "passive", **identity_record(lens))

    def detach(self, error: LensGoneError) -> None:
        self._write(event="detached", error=str(error))

    def take(self, lens: Lens, status: LensStatus, dropped: int) -> None:
        super().take(lens, status, dropped)
        record = status_record(lens, status)
        del record["url"]
        self._write(t_ns=self.elapsed_ns(status.t_ns), **record)

    def _write(self, **record: Any) -> None:
        click.echo(json.dumps(record, ensure_ascii=False))

    def __exit__(self, *_: object) -> None:
        polls = self.driver.counters["polls"] - self.polls
        self._write(event="ended", polls=polls, missed=self.dropped, errors=self.errors)


_CELLS = (13, 10, 15, 15, 10)


class _RowView(_StreamView):
    """A row per status."""

    def attach(self, lens: Lens) -> None:
        for name, value in place_rows(lens):
            click.echo(f"{name:<16}{value}")
        if lens.identity is not None:
            self._row("time/s", *(name for name, _ in status_rows(None, glyphs_for(sys.stdout))))

    def detach(self, error: LensGoneError) -> None:
        click.echo(str(error))

    def take(self, lens: Lens, status: LensStatus, dropped: int) -> None:
        super().take(lens, status, dropped)
        seconds = f"{self.elapsed_ns(status.t_ns) / 1e9:.6f}"
        self._row(seconds, *(value for _, value in status_rows(status, glyphs_for(sys.stdout))))

    def _row(self, *cells: str) -> None:
        click.echo("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, _CELLS, strict=True)))

    def __exit__(self, *_: object) -> None:
        for name, value in self.figures():
            click.echo(f"{name:<16}{value}")


class _TableView(View):
    """A table that stays in its place on a terminal."""

    def __init__(self, driver: BodyDriver) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(driver)
        self._lens: Lens | None = None
        self._status: LensStatus | None = None
        self._drawn_s = 0.0
        self._live = Live(
            console=Console(highlight=False), auto_refresh=False, redirect_stdout=False, get_renderable=self._table
        )

    def attach(self, lens: Lens) -> None:
        self._lens, self._status = lens, None
        self._live.refresh()

    def detach(self, error: LensGoneError) -> None:
        self._status = None
        self._live.refresh()

    def take(self, lens: Lens, status: LensStatus, dropped: int) -> None:
        super().take(lens, status, dropped)
        self._status = status
        now_s = asyncio.get_running_loop().time()
        if now_s - self._drawn_s >= DRAW_S:
            self._drawn_s = now_s
            self._live.refresh()

    def refresh(self) -> None:
        self._live.refresh()

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        glyphs = glyphs_for(sys.stdout)
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        lens = self._lens
        who = [] if lens is None else [*place_rows(lens), *identity_rows(lens, glyphs)]
        state = ("state", str(self.driver.life))
        rows = [*who, state, *status_rows(self._status, glyphs), *self.figures()]
        for name, value in [*rows, ("", legend(rows, glyphs))]:
            table.add_row(name, Text(value))
        return table

    def __enter__(self) -> View:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.refresh()
        self._live.stop()
