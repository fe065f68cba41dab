"""``m43 simulate``: a lens to test a body against, before there is hardware."""

from __future__ import annotations

import click

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.lockstep import Lockstep
from m43drivers.simulator.profiles import PROFILES, profile_named
from m43proto.ends import PinLens
from m43proto.timing import LENS_TIMINGS
from m43tools.catalogues import combined
from m43tools.stdio import serve_stdio

__all__ = ["simulate"]


@click.group(short_help="Simulate a lens at the pins, for somebody else's simulator.")
def simulate() -> None:
    r"""Simulate a lens at the pins, for somebody else's simulator.

    \b
    Examples:
      m43 simulate lens --stdio
      m43 simulate lens --profile panasonic-pz-14-42 --timing slow --stdio

    Exit codes: 0 the other side has closed the connection; 2 wrong usage.
    """


@simulate.command(
    short_help="A lens, in lockstep on stdin and stdout.",
    epilog="Exit codes: 0 the other side has closed the connection; 2 wrong usage.",
)
@click.option(
    "--profile",
    default="olympus-14-42",
    show_default=True,
    metavar="NAME",
    help=f"Which lens: {', '.join(PROFILES)}.",
)
@click.option(
    "--timing", type=click.Choice(list(LENS_TIMINGS)), default="bell_lens", show_default=True, help="How fast it is."
)
@click.option("--stdio", is_flag=True, required=True, help="Talk the line protocol of specs/8-lockstep.md.")
@click.pass_context
def lens(ctx: click.Context, profile: str, timing: str, *, stdio: bool) -> None:
    r"""Simulate a lens, in lockstep with the simulator that runs your body's firmware.

    Your side writes what it drives, and when; the lens answers what it drives from then on, and when it will act by
    itself. Times are nanoseconds.

    \b
    Examples:
      m43 simulate lens --stdio
      $ printf '0 CLK=1\n1000 SLEEP=1\n' | m43 simulate lens --stdio
      0 DATA=z LENS_ACK=0 next=never
      1000 DATA=z LENS_ACK=0 next=never
    """
    end = PinLens(
        LENS_TIMINGS[timing], SimulatedLens(profile_named(profile)), combined(ctx.find_root().obj or ()).shape_of
    )
    serve_stdio(Lockstep(end))
