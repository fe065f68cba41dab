"""``m43 simulate lens``: a lens to test a body against."""

from __future__ import annotations

import click

from m43drivers.simulator.faults import FAULTS, faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.lockstep import Lockstep
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES, profile_named
from m43proto.timing import JITTERY, LENS_TIMINGS, lens_timing
from m43tools.catalogues import combined
from m43tools.stdio import serve_stdio

__all__ = ["lens"]


@click.command(
    short_help="A lens, in lockstep on stdin and stdout.",
    epilog="Exit codes: 0 the other side has closed the connection; 2 wrong usage.",
)
@click.option(
    "--profile",
    default="olympus-14-42",
    show_default=True,
    metavar="NAME",
    help=f"Which lens: {', '.join(PROFILES)}; or any lens by its id, such as lens:2-14-10 (m43 lenses lists them).",
)
@click.option(
    "--timing",
    type=click.Choice([*LENS_TIMINGS, JITTERY]),
    default="bell_lens",
    show_default=True,
    help="How fast it is.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the timing jittery.")
@click.option(
    "--fault",
    "faults",
    metavar="NAME[@N]",
    multiple=True,
    help="What it does wrong, and at which transaction or byte; may be given several times. "
    f"Faults: {', '.join(FAULTS)}.",
)
@click.option("--stdio", is_flag=True, required=True, help="Talk the line protocol of specs/8-lockstep.md.")
@click.pass_context
def lens(ctx: click.Context, profile: str, timing: str, seed: int, faults: tuple[str, ...], *, stdio: bool) -> None:
    r"""Simulate a lens, in lockstep with the simulator that runs your body's firmware.

    Your side writes what it drives, and when; the lens answers what it drives from then on, and when it will act by
    itself. Times are nanoseconds. specs/9-simulated-lens.md tells what each fault does, and what of a lens is made up.

    \b
    Examples:
      m43 simulate lens --stdio
      m43 simulate lens --profile lens:2-14-10 --fault lost_bit@6 --fault aperture_stuck --stdio
      m43 --catalogue provisional simulate lens --profile olympus-12-100-is --stdio
      $ printf '0 CLK=1\n1000 SLEEP=1\n' | m43 simulate lens --stdio
      0 DATA=z LENS_ACK=0 next=never
      1000 DATA=z LENS_ACK=0 next=never
    """
    catalogue = combined(ctx.find_root().obj or ())
    simulated = SimulatedLens(profile_named(profile), faults_named(faults), catalogue)
    serve_stdio(Lockstep(pin_lens(simulated, lens_timing(timing, seed), catalogue.shape_of)))
