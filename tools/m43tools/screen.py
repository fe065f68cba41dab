"""A live screen that a slow terminal cannot hold up: a thread draws the latest figures, and counts the others."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["DRAW_S", "Screen"]

DRAW_S = 0.2
"""How often figures are drawn anew."""

CLOSE_S = 2.0

Row = tuple[str, str]


class Screen:
    """Draws rows on a screen of their own, and the last ones below the prompt; a context that begins and ends it.

    Attributes:
        skipped: how many figures were not drawn, because the terminal was busy with earlier ones.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.skipped = 0
        self._rows: list[Row] = []
        self._alarms: frozenset[str] = frozenset()
        self._fresh = False
        self._ending = False
        self._news = threading.Condition()
        self._live = Live(
            console=Console(highlight=False),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            screen=True,
            vertical_overflow="crop",
            get_renderable=self._table,
        )
        self._thread = threading.Thread(target=self._run, name="m43 screen", daemon=True)

    def __enter__(self) -> Screen:
        """Begin to draw."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draw the last figures, if the terminal takes them."""
        with self._news:
            self._ending = True
            self._news.notify()
        self._thread.join(CLOSE_S)

    def offer(self, rows: list[Row], alarms: frozenset[str] = frozenset()) -> None:
        """Have figures drawn as soon as the terminal can; never waits.

        Args:
            rows: labels and texts.
            alarms: labels of rows that are to strike the eye.
        """
        with self._news:
            self.skipped += self._fresh
            self._rows, self._alarms, self._fresh = rows, alarms, True
            self._news.notify()

    def _run(self) -> None:
        self._live.start()
        while True:
            with self._news:
                self._news.wait_for(lambda: self._fresh or self._ending)
                if not self._fresh:
                    break
                self._fresh = False
            self._live.refresh()
        self._live.stop()
        self._live.console.print(self._table(over=True))

    def _table(self, *, over: bool = False) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2), expand=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        skipped = [("screen", f"{self.skipped} pictures left out: the terminal is slow")] if self.skipped else []
        how_to_end = [] if over else [("", "Ctrl-C ends it")]
        for name, value in [*self._rows, *skipped, *how_to_end]:
            table.add_row(name, Text(value, "bold red" if name in self._alarms else ""))
        return table
