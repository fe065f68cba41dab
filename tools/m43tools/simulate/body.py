"""``m43 simulate body``: a body to test a lens against."""

from __future__ import annotations

from pathlib import Path

import click

from m43drivers.simulator.body import SimulatedBody
from m43drivers.simulator.lockstep import Lockstep
from m43drivers.simulator.script import load_script, script_names
from m43proto.dialects import DIALECTS
from m43proto.timing import BODY_TIMINGS, JITTERY, body_timing
from m43tools.catalogues import combined
from m43tools.simulate.told import told, write_log
from m43tools.stdio import serve_stdio

__all__ = ["body"]


@click.command(
    short_help="A body that runs a script, in lockstep on stdin and stdout.",
    epilog="Exit codes: 0 the other side has closed the connection; 2 wrong usage, or a script that cannot be run.",
)
@click.option(
    "--script",
    "script_name",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help=f"What it does: {', '.join(script_names())}; or a file .toml or .py (specs/10-scripts.md).",
)
@click.option(
    "--dialect", type=click.Choice(list(DIALECTS)), help="How it starts and polls a lens (else the script's)."
)
@click.option(
    "--timing",
    type=click.Choice([*BODY_TIMINGS, JITTERY]),
    default="patient",
    show_default=True,
    help="How fast it is; all but bell_body wait for each acknowledge of the lens.",
)
@click.option("--seed", type=int, default=0, show_default=True, help=f"Of the timing {JITTERY}.")
@click.option(
    "--log", type=click.Path(path_type=Path), metavar="FILE", help="Write its transactions there as JSON lines."
)
@click.option("--stdio", is_flag=True, required=True, help="Talk the line protocol of specs/8-lockstep.md.")
@click.pass_context
def body(
    ctx: click.Context,
    script_name: str,
    dialect: str | None,
    timing: str,
    seed: int,
    log: Path | None,
    *,
    stdio: bool,
) -> None:
    r"""Simulate a body, in lockstep with the simulator that runs your lens's firmware.

    The body runs its script and tries again when a transaction fails (specs/10-scripts.md). When the script has ended,
    it answers next=never; when your side closes the connection, a line on stderr tells what came of it.

    \b
    Examples:
      m43 simulate body --stdio
      m43 simulate body --script mine.toml --timing slow --log seen.jsonl --stdio
      $ printf '0 DATA=z LENS_ACK=0\n5000000\n' | m43 simulate body --stdio 2>/dev/null
      0 CLK=1 DATA=z BODY_ACK=0 SLEEP=0 FOCUS=0 SHUTTER=0 next=5000000
      5000000 CLK=1 DATA=z BODY_ACK=0 SLEEP=1 FOCUS=0 SHUTTER=0 next=15000000
    """
    catalogue = combined(ctx.find_root().obj or ())
    script = load_script(script_name)
    script.check(catalogue, has_lens=False)
    end = SimulatedBody(
        body_timing(timing, seed),
        script.run,
        dialect=script.dialect_for(dialect),
        frame_hz=script.frame_hz,
        attempts=script.attempts,
        catalogue=catalogue,
    )
    try:
        serve_stdio(Lockstep(end))
    finally:
        if log is not None:
            write_log(end, log)
        click.echo(f"m43: {script.name} {'has ended' if end.done else 'has not ended'}: {told(end)}", err=True)
