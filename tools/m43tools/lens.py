"""``m43 lens``: drives a lens from the command line, as a phone would.

Only what the command line itself needs is imported here; the driver comes with the first command that runs.
"""

from __future__ import annotations

import math
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEFAULT_LENS", "EXIT_CODES", "lens"]

DEFAULT_LENS = "sim:olympus-14-42"
"""The lens of a first try: a simulated one, so that nothing needs to be attached."""

EXIT_CODES = {
    0: "done",
    1: "the lens did not do it",
    2: "wrong usage, bad input, or out of the lens's range",
    4: "no lens answers, or lens or bridge were lost",
    130: "interrupted",
    141: "pipe closed",
}
"""What each exit code of these commands means."""

_EPILOG = f"Exit codes: {'; '.join(f'{code} {meaning}' for code, meaning in EXIT_CODES.items())}."


@click.group(short_help="Drive a lens: read it, move aperture and focus, watch it.", epilog=_EPILOG)
def lens() -> None:
    r"""Drive a lens: read it, move aperture and focus, watch it.

    Each command wakes the lens, does its work, and puts the lens to sleep. Without --lens it is a simulated lens, and
    says so; with --record, m43 sniff reads afterwards what went over the mount.

    \b
    Examples:
      m43 lens info                                     who is it?
      m43 lens aperture f/5.6
      m43 lens focus --distance 1.5
      m43 lens watch                                    a live table; Ctrl-C ends it
      m43 lens status --lens replay:session.jsonl       what a recorded lens said
      m43 lens info --lens sim:panasonic-pz-14-42 --record session.jsonl
    """


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command has; the command gets them as one `Session`."""

    @click.option(
        "--lens",
        "url",
        default=DEFAULT_LENS,
        show_default=True,
        metavar="URL",
        help="Where the lens is: SCHEME:ADDRESS.",
    )
    @click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
    @click.option(
        "--dialect", default="E-PL1", show_default=True, metavar="NAME", help="How to start it: E-PL1 or E-P1."
    )
    @click.option("--record", metavar="FILE", help="Record the exchange; replay:FILE and m43 sniff read it.")
    @click.option(
        "--rate",
        "rate_hz",
        type=click.FloatRange(1, 1000),
        default=60.0,
        show_default=True,
        metavar="HZ",
        help="Polls per second.",
    )
    @click.pass_context
    @wraps(command)
    def with_session(
        ctx: click.Context, /, *, url: str, as_json: bool, dialect: str, record: str | None, rate_hz: float, **rest: Any
    ) -> None:
        from m43tools.driving import Session

        command(
            Session(
                url=url,
                as_json=as_json,
                dialect=dialect,
                record=record,
                rate_hz=rate_hz,
                catalogues=tuple(ctx.find_root().obj or ()),
            ),
            **rest,
        )

    return with_session


@lens.command(short_help="Who it is: identity, range, firmware.", epilog=_EPILOG)
@_shared
def info(session: Any) -> None:
    r"""Tell who the lens is: identity, focal range, widest apertures, firmware.

    \b
    Examples:
      m43 lens info
      m43 lens info --json --lens sim:lens:2-14-10
    """
    from m43tools.driving import show_info

    show_info(session)


@lens.command(short_help="What it says now: aperture, focus, zoom.", epilog=_EPILOG)
@_shared
def status(session: Any) -> None:
    r"""Tell what the lens says now: aperture, focus position and distance, zoom.

    \b
    Examples:
      m43 lens status
      m43 lens status --json
    """
    from m43tools.driving import show_status

    show_status(session)


def _f_number(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return float(value.lower().removeprefix("f").removeprefix("/"))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no f-number; write it like 5.6 or f/5.6") from None


@lens.command(short_help="Set the aperture.", epilog=_EPILOG)
@click.argument("f", metavar="[F]", required=False, callback=_f_number)
@click.option("--av", type=float, metavar="AV", help="The aperture as APEX value, 2 log2(f), instead of F.")
@click.option("--wide-open", is_flag=True, help="As wide as the lens goes.")
@click.option("--clamp", is_flag=True, help="Take the lens's limit instead of refusing what lies behind it.")
@_shared
def aperture(session: Any, *, f: float | None, av: float | None, wide_open: bool, clamp: bool) -> None:
    r"""Set the aperture to the f-number F, wait until it is there, and tell where it is.

    \b
    Examples:
      m43 lens aperture 5.6
      m43 lens aperture --wide-open
      m43 lens aperture f/1.4 --clamp
    """
    if (f is not None) + (av is not None) + wide_open != 1:
        raise click.UsageError("give one of: an f-number such as f/5.6, --av AV, --wide-open")
    from m43tools.driving import move

    move(session, lambda glass: glass.set_aperture(f, av=av, wide_open=wide_open, clamp=clamp))


@lens.command(short_help="Move the focus.", epilog=_EPILOG)
@click.option("--position", type=int, metavar="N", help="To a position, in counts of this lens.")
@click.option("--by", type=int, metavar="N", help="By so many counts from where it is.")
@click.option("--distance", type=float, metavar="M", help="To a distance, in metres.")
@click.option("--near", is_flag=True, help="To the near end stop.")
@click.option("--infinity", is_flag=True, help="To the far end stop.")
@_shared
def focus(session: Any, **options: Any) -> None:
    r"""Move the focus, wait until it is there, and tell where it is.

    \b
    Examples:
      m43 lens focus --position 120
      m43 lens focus --by -20
      m43 lens focus --distance 1.5
      m43 lens focus --near
    """
    asked = {name: value for name, value in options.items() if value is not None and value is not False}
    if len(asked) != 1:
        raise click.UsageError("give one of: --position N, --by N, --distance M, --near, --infinity")
    from m43tools.driving import move

    [(name, value)] = asked.items()
    move(session, lambda glass: _FOCUS[name](glass, value))


_FOCUS: dict[str, Callable[[Any, Any], Any]] = {
    "position": lambda glass, counts: glass.focus_to(counts),
    "by": lambda glass, counts: glass.focus_by(counts),
    "distance": lambda glass, distance_m: glass.focus_to(distance_m=distance_m),
    "near": lambda glass, _: glass.focus_near(),
    "infinity": lambda glass, _: glass.focus_infinity(),
}


@lens.command(short_help="Set which way focus follows the focus ring.", epilog=_EPILOG)
@click.argument("direction", type=click.Choice(["forward", "reverse"]))
@_shared
def ring(session: Any, *, direction: str) -> None:
    r"""Set which way the focus follows the focus ring. The lens forgets it when it sleeps, so this only tries it out.

    \b
    Examples:
      m43 lens ring reverse
    """
    from m43tools.driving import set_ring

    set_ring(session, direction)


@lens.command(short_help="Follow what it says, until Ctrl-C.", epilog=_EPILOG)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many statuses.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="End after so many seconds.")
@_shared
def watch(session: Any, *, count: int | None, seconds: float | None) -> None:
    r"""Follow what the lens says: a live table on a terminal, else a row or a JSON line per status.

    It goes on when the lens is changed, waits for one when there is none, and ends with Ctrl-C, --count or --for.

    \b
    Examples:
      m43 lens watch
      m43 lens watch --for 10 --json > statuses.jsonl
      m43 lens watch --count 3 --rate 5
    """
    from m43tools.watching import watch as follow

    follow(session, count, math.inf if seconds is None else seconds)


def _hex(ctx: click.Context, param: click.Parameter, value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not hexadecimal; write it like 'c1 80 01 06'") from None


@lens.command(short_help="Send any command.", epilog=_EPILOG)
@click.argument("command", callback=_hex)
@click.argument("data", callback=_hex, default="")
@click.option("--unsafe", is_flag=True, help="Yes: what a lens makes of a raw command is unknown.")
@_shared
def raw(session: Any, *, command: bytes, data: bytes, unsafe: bool) -> None:
    r"""Send the four bytes COMMAND, and DATA where it writes, in hexadecimal; show what came back.

    \b
    Examples:
      m43 lens raw --unsafe c1800106
      m43 lens raw --unsafe "60 80 fe 02" "01 f9 04 00 00 00 00 00 00" --json
    """
    if not unsafe:
        raise click.UsageError("what a lens makes of a raw command is unknown; add --unsafe to send it all the same")
    from m43tools.driving import send_raw

    send_raw(session, command, data)
