"""One command, one session with a lens: wake it, do the work, put it to sleep; and an exit code for what went wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from m43drivers.body import open_lens
from m43drivers.body.errors import (
    LensAsleepError,
    LensError,
    LensFailedError,
    LensGoneError,
    LensPassiveError,
    LensRefusedError,
)
from m43drivers.transport import TransportError, TransportLostError, TransportTimeoutError
from m43proto.dialects import DIALECTS
from m43proto.records import record
from m43tools.catalogues import combined
from m43tools.render.glyphs import glyphs_for
from m43tools.render.lens import identity_record, identity_rows, page, place_rows, raw_rows, status_record, status_rows
from m43tools.render.records import record_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from m43drivers.body import Lens, LensStatus
    from m43proto.events import MessageSeen
    from m43tools.render.lens import Row

__all__ = ["EXITS", "Session", "move", "run", "send_raw", "set_ring", "show_info", "show_status"]

T = TypeVar("T")

EXITS: tuple[tuple[type[Exception], int], ...] = (
    (LensRefusedError, 2),
    (LensPassiveError, 4),
    (LensGoneError, 4),
    (LensFailedError, 4),
    (LensAsleepError, 4),
    (LensError, 1),
    (TransportLostError, 4),
    (TransportTimeoutError, 4),
    (TransportError, 2),
)
"""The exit code of each error; the first that fits counts."""


@record(frozen=True, slots=True, kw_only=True)
class Session:
    """What the user says of the lens, and of the output.

    Attributes:
        url: where the lens is.
        as_json: whether the output is for a program.
        dialect: how to start it.
        record: a file to record the exchange to, or None.
        rate_hz: polls per second.
        catalogues: names of the catalogues to know beside the public one.
    """

    url: str
    as_json: bool
    dialect: str
    record: str | None
    rate_hz: float
    catalogues: tuple[str, ...] = ()


def run(session: Session, work: Callable[[Lens], Awaitable[T]], *, passive: bool = False) -> T:
    """Wake the lens, do the work, put the lens to sleep.

    Args:
        session: which lens.
        work: what to do with it.
        passive: whether there is work to do on a mount on which nothing answers.

    Raises:
        click.exceptions.Exit: it went wrong; with the exit code, and the line that says so is printed.
        click.UsageError: an option is wrong.
    """
    _refuse_nonsense(session)
    logging.getLogger("m43drivers").addHandler(logging.NullHandler())
    try:
        return asyncio.run(_work(session, work, passive), debug=False)
    except (LensError, TransportError) as error:
        code = next(code for kind, code in EXITS if isinstance(error, kind))
        click.echo(f"m43: {error}", err=True)
        raise click.exceptions.Exit(code) from None


def _refuse_nonsense(session: Session) -> None:
    if session.dialect not in DIALECTS:
        raise click.UsageError(f"no dialect is called {session.dialect}; known: {', '.join(DIALECTS)}")
    replayed = session.url.removeprefix("replay:").partition("?")[0]
    if session.record is not None and replayed != session.url and _same_file(Path(replayed), Path(session.record)):
        raise click.UsageError(f"{session.record} is what is replayed; record to another file")


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


async def _work(session: Session, work: Callable[[Lens], Awaitable[T]], passive: bool) -> T:
    catalogue = combined(session.catalogues)
    async with open_lens(
        session.url,
        dialect=session.dialect,
        catalogue=catalogue,
        frame_hz=session.rate_hz,
        record=session.record,
    ) as lens:
        if lens.identity is None and not passive:
            raise LensPassiveError(
                f"{session.url}: nothing answers: no lens, or one without electronics; attach a lens with contacts"
            )
        return await work(lens)


# the commands


def show_info(session: Session) -> None:
    """Tell who the lens is."""

    async def work(lens: Lens) -> tuple[dict[str, Any], list[Row]]:
        glyphs = glyphs_for(sys.stdout)
        return identity_record(lens), [*place_rows(lens), *identity_rows(lens, glyphs)]

    _print(session, *run(session, work))


def show_status(session: Session) -> None:
    """Tell what the lens says."""
    _print(session, *run(session, lambda lens: _told(lens, lens.status_now())))


def move(session: Session, drive: Callable[[Lens], Awaitable[LensStatus | None]]) -> None:
    """Do a drive, and tell the status in which it ended."""
    _print(session, *run(session, lambda lens: _told(lens, drive(lens))))


async def _told(lens: Lens, asked: Awaitable[LensStatus | None]) -> tuple[dict[str, Any], list[Row]]:
    status = await asked
    assert status is not None
    return status_record(lens, status), [*place_rows(lens), *status_rows(status, glyphs_for(sys.stdout))]


def set_ring(session: Session, direction: str) -> None:
    """Set which way the focus follows the ring."""

    async def work(lens: Lens) -> tuple[dict[str, Any], list[Row]]:
        await lens.set_ring_direction(direction)
        record = {"url": lens.driver.transport.url, "ring_direction": direction}
        return record, [*place_rows(lens), ("focus ring", f"{direction} (sent; no message reads it back)")]

    _print(session, *run(session, work))


def send_raw(session: Session, command: bytes, data: bytes) -> None:
    """Send any command, and show what came back."""

    async def work(lens: Lens) -> tuple[dict[str, Any], list[Row]]:
        seen: MessageSeen = await lens.raw(command, data, unsafe=True)
        transaction = replace(seen.transaction, t_ns=0, end_ns=seen.transaction.end_ns - seen.transaction.t_ns)
        seen = replace(seen, transaction=transaction)
        rows = [*place_rows(lens), *raw_rows(seen, glyphs_for(sys.stdout))]
        return {"url": lens.driver.transport.url, **record_of(seen)}, rows

    _print(session, *run(session, work))


def _print(session: Session, record: dict[str, Any], rows: list[Row]) -> None:
    if session.as_json:
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in page(rows, glyphs_for(sys.stdout), width):
        click.echo(line)
