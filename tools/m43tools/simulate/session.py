"""``m43 simulate session``: what an analyser would have recorded of a simulated body and a simulated lens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from m43drivers.capture import CaptureError, Channel
from m43drivers.capture.times import channel_of
from m43drivers.capture.writing import NOISES, WRITERS, with_noise, write_capture, writer_for
from m43drivers.simulator.faults import FAULTS, faults_named
from m43drivers.simulator.profiles import PROFILES, profile_named
from m43drivers.simulator.script import load_script, script_names
from m43drivers.simulator.session import SessionPlan, recorded
from m43proto.dialects import DIALECTS
from m43proto.ends import NEVER
from m43proto.pins import LINES, Line
from m43proto.timing import BODY_TIMINGS, JITTERY, LENS_TIMINGS
from m43tools.catalogues import combined
from m43tools.output import progress_on_stderr
from m43tools.simulate.told import told, write_log
from m43tools.units import RATE, TIME

if TYPE_CHECKING:
    from fractions import Fraction

    from m43drivers.simulator.session import Recording
    from m43proto.catalogue import Catalogue
    from m43tools.output import Progress

__all__ = ["session"]

SIMULATING, WRITING = "simulating", "writing"


def _lines(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Line, ...]:
    if value is None:
        return LINES
    names = [name.strip().upper() for name in value.split(",") if name.strip()]
    stranger = next((name for name in names if name not in LINES), None)
    if stranger is not None or not names:
        raise click.BadParameter(f"{stranger or value!r} is no line; lines: {', '.join(LINES)}")
    if len(set(names)) < len(names):
        raise click.BadParameter(f"{value!r} names a line twice")
    return tuple(Line(name) for name in names)


@click.command(
    short_help="A body and a lens, as a capture file.",
    epilog="Exit codes: 0 written, whatever the lens did wrong; 2 wrong usage, a script that cannot be run, or a file "
    "that cannot be written; 130 interrupted, nothing written.",
)
@click.option(
    "--lens",
    default="olympus-14-42",
    show_default=True,
    metavar="NAME",
    help=f"Which lens: {', '.join(PROFILES)}; or any lens by its id, such as lens:2-14-10 (m43 lenses lists them).",
)
@click.option("--body", type=click.Choice(list(DIALECTS)), help="How the body starts and polls it (else the script's).")
@click.option(
    "--script",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help=f"What the body and the hand on the lens do: {', '.join(script_names())}; or a file .toml or .py "
    "(specs/10-scripts.md).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Write there, in the format that the suffix asks for: "
    f"{', '.join(f'{suffix} ({writer.description})' for suffix, writer in WRITERS.items())}.",
)
@click.option("--rate", callback=RATE, metavar="RATE", help="Sampling rate (default: 24 MHz; .vcd: exact).")
@click.option("--noise", type=click.Choice(list(NOISES)), default="none", show_default=True, help="How much noise.")
@click.option("--seed", type=int, default=0, show_default=True, help=f"Of the noise and of the timings {JITTERY}.")
@click.option(
    "--lens-timing",
    type=click.Choice([*LENS_TIMINGS, JITTERY]),
    default="bell_lens",
    show_default=True,
    help="How fast the lens is.",
)
@click.option(
    "--body-timing",
    type=click.Choice([*BODY_TIMINGS, JITTERY]),
    default="bell_body",
    show_default=True,
    help="How fast the body is; all but bell_body wait for each acknowledge of the lens.",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME[@N]",
    multiple=True,
    help="What the lens does wrong, and at which transaction or byte; may be given several times. "
    f"Faults: {', '.join(FAULTS)}.",
)
@click.option("--lines", callback=_lines, metavar="LINE,...", help="Record these lines only, in this order (CLK,DATA).")
@click.option("--unnamed", is_flag=True, help="Call the lines D0, D1, ... as an analyser does.")
@click.option("--start-at", callback=TIME, metavar="TIME", help="Leave out what was before (600ms).")
@click.option("--end-at", callback=TIME, metavar="TIME", help="Stop at this time of the session (1.2s).")
@click.option(
    "--log", type=click.Path(path_type=Path), metavar="FILE", help="Write the body's transactions there as JSON lines."
)
@click.pass_context
def session(ctx: click.Context, /, **options: Any) -> None:
    r"""Simulate a body and a lens, and write what an analyser would have recorded of them.

    The same options give the same file, byte for byte. Every file says that it is synthetic, where its format has a
    place for that.

    \b
    Examples:
      m43 simulate session -o session.sr
      m43 simulate session --lens panasonic-20 --body E-P1 --script focus-sweep -o focus.vcd
      m43 simulate session --script polling --fault wrong_command_sum@20 -o corrupt.csv
      m43 simulate session --noise heavy --seed 7 --unnamed --start-at 600ms -o joined-late.sr
      m43 simulate session --script mine.toml --log truth.jsonl -o mine.sr
    """
    _simulate(_Request(catalogue=combined(ctx.find_root().obj or ()), **options))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """The command line."""

    catalogue: Catalogue
    lens: str
    body: str | None
    script: str
    output: Path
    rate: Fraction | None
    noise: str
    seed: int
    lens_timing: str
    body_timing: str
    faults: tuple[str, ...]
    lines: tuple[Line, ...]
    unnamed: bool
    start_at: Fraction | None
    end_at: Fraction | None
    log: Path | None

    @property
    def plan(self) -> SessionPlan:
        script = load_script(self.script)
        script.check(self.catalogue, has_lens=True)
        return SessionPlan(
            profile=profile_named(self.lens),
            script=script,
            dialect=script.dialect_for(self.body),
            faults=faults_named(self.faults),
            catalogue=self.catalogue,
            body_timing=self.body_timing,
            lens_timing=self.lens_timing,
            seed=self.seed,
        )

    @property
    def names(self) -> list[str]:
        return [f"D{number}" if self.unnamed else line for number, line in enumerate(self.lines)]

    def comment(self, plan: SessionPlan) -> str:
        """Say what was simulated; the same for every run."""
        parts = [
            f"script {Path(plan.script.name).name}",
            f"body {plan.dialect.name}",
            f"lens {plan.profile.name} ({plan.profile.lens.name})",
            f"timings {self.body_timing} and {self.lens_timing}",
            f"noise {self.noise}",
            f"seed {self.seed}",
            *(f"fault {fault}" for fault in self.faults),
        ]
        return f"m43 simulate session: {', '.join(parts)}."


def _simulate(request: _Request) -> None:
    _refuse_target(request.output)
    plan = request.plan
    with progress_on_stderr(SIMULATING, WRITING) as progress:
        recording = _recorded(request, plan, progress)
        start_ns = round(request.start_at or 0)
        if start_ns >= recording.end_ns:
            lasts_s = recording.end_ns / 1e9
            raise click.UsageError(f"--start-at lies behind the end of the session, which lasts {lasts_s:.3f} s")
        channels = [_from(channel, start_ns) for channel in recording.channels]
        end_ns = recording.end_ns - start_ns
        write_capture(
            request.output,
            with_noise(channels, end_ns, NOISES[request.noise], request.seed),
            end_ns,
            rate_hz=None if request.rate is None else round(request.rate),
            comment=request.comment(plan),
        )
        progress.update(WRITING, 1.0)
    if request.log is not None:
        write_log(recording.body, request.log)
    kind = writer_for(request.output).description.partition(",")[0].partition(":")[0]
    click.echo(f"written: {request.output} (synthetic {kind}, {end_ns / 1e9:.3f} s, {told(recording.body)})")


def _recorded(request: _Request, plan: SessionPlan, progress: Progress) -> Recording:
    return recorded(
        plan,
        lines=request.lines,
        names=request.names,
        end_ns=NEVER if request.end_at is None else round(request.end_at),
        progress=lambda fraction: progress.update(SIMULATING, fraction),
    )


def _refuse_target(path: Path) -> None:
    """Refuse what could not be written, before it is simulated."""
    writer_for(path)
    if not path.parent.is_dir():
        raise CaptureError(path, f"there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise CaptureError(path, "a folder of this name is there already; remove it or choose another name")


def _from(channel: Channel, start_ns: int) -> Channel:
    """Return a channel as it is from a time on, which becomes 0."""
    before = int(np.searchsorted(channel.edges_ns, start_ns, "right"))
    return channel_of(channel.name, channel.initial ^ (before & 1), channel.edges_ns[before:] - start_ns)
