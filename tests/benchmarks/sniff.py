"""How long ``m43 sniff`` takes beside sigrok-cli: ``python -m tests.benchmarks.sniff``.

Both programs run as whole processes, alternately, and write to a file; what counts is the ratio of their medians in one
run. sigrok-cli decodes SPI bytes and prints them; ``m43 sniff`` decodes, checks and names messages, and writes them as
JSON lines. ``--short`` leaves out what takes minutes; ``--growth`` adds captures of 10 M to 10 G samples of ours alone;
``--profile`` tells the seconds of each stage on the dense capture.

Ours is compiled before, as an installer does, and runs without the variables that keep Python from using that: with
`PYTHONDONTWRITEBYTECODE` an editable install compiles itself anew at each start, for a tenth of a second. ``--m43``
measures that of another environment, such as one made by ``pip install .``. Memory is measured in a run of its own:
that of all processes of ours together, what they share counted once.
"""

from __future__ import annotations

import argparse
import compileall
import io
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import m43drivers
import m43proto
import m43tools
from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.observing import observe_stream
from m43drivers.capture import open_stream
from m43drivers.capture.archive import Archive
from m43proto.messages import PUBLIC
from m43proto.pins import LINES
from m43tools.render.bulk import everything
from m43tools.render.columns import JsonWriter
from tests.benchmarks.traffic import DENSE, IDLE_HEAVY, NEVER_TWICE, Traffic, write_csv, write_session, write_vcd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43drivers.bulk.decoder import Found

ROUNDS = 3
PEER = "sigrok-cli"
MOST_MIB = 120
UNUSUAL = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
"""Variables of developers' machines that a user's does not have."""
REAL = Path(__file__).parents[3] / "shared/dumps/sigrok-dumps/spi/enc28j60/enc28j60-init-and-ping.sr"
M, G = 10**6, 10**9
SIZES = {10 * M: "10 M", 100 * M: "100 M", G: "1 G", 10 * G: "10 G"}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Attributes:
        traffic: what is on the bus, or None for the real capture.
        samples: how much of it.
        form: suffix of the file.
        goal: times faster than sigrok-cli.
        short: whether it is quick enough for ``--short``.
    """

    traffic: Traffic | None
    samples: int
    form: str
    goal: float
    short: bool = False

    @property
    def name(self) -> str:
        """What the table calls it."""
        if self.traffic is None:
            return "real enc28j60, 1.02 G"
        return f"{self.traffic.name}, {SIZES[self.samples]} {self.form}"

    @property
    def layer(self) -> list[str]:
        """What ours is asked for."""
        if self.traffic is None:
            return ["--layer", "bytes", "--pins", "CLK=CLK,DATA=MOSI"]
        return ["--layer", "messages"]

    def write(self, folder: Path) -> Path:
        """Make the capture."""
        if self.traffic is None:
            return REAL
        path = folder / f"{self.traffic.name.replace(', ', '-')}-{self.samples}{self.form}"
        WRITERS[self.form](path, self.traffic, self.samples)
        return path


WRITERS: dict[str, Callable[[Path, Traffic, int], None]] = {".sr": write_session, ".vcd": write_vcd, ".csv": write_csv}

CASES = (
    Case(IDLE_HEAVY, 10 * M, ".sr", 1, short=True),
    Case(DENSE, 10 * M, ".sr", 1, short=True),
    Case(IDLE_HEAVY, 100 * M, ".sr", 1, short=True),
    Case(DENSE, 100 * M, ".sr", 1, short=True),
    Case(DENSE, 100 * M, ".vcd", 10),
    Case(DENSE, 100 * M, ".csv", 10),
    Case(None, 0, ".sr", 60),
    Case(IDLE_HEAVY, G, ".sr", 40),
    Case(DENSE, G, ".sr", 80),
    Case(NEVER_TWICE, G, ".sr", 80),
)

PEER_INPUT = {".sr": [], ".vcd": ["-I", "vcd:downsample=41667"], ".csv": ["-I", "csv:column_formats=t,7l:header=yes"]}


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Attributes:
        case: what.
        ours_s: median of ours, s.
        peer_s: median of sigrok-cli, s; None where it did not run.
        ratio: of the medians.
        goal: what it should be.
        peak_mib: most memory of all processes of ours, what they share counted once, MiB.
        ours_cpu_s: the same as `ours_s` of the time on all cores, which other work on the machine changes less.
        peer_cpu_s: that of sigrok-cli.
    """

    case: str
    ours_s: float
    peer_s: float | None
    ratio: float | None
    goal: float
    peak_mib: float
    ours_cpu_s: float
    peer_cpu_s: float | None


WATCHER = """
import json, os, sys, time
start_s = time.perf_counter()
done = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(done, 0)
wall_s = time.perf_counter() - start_s
code = os.waitstatus_to_exitcode(status)
json.dump([code, wall_s, used.ru_utime + used.ru_stime], sys.stderr)
"""
"""A small program that runs another."""

LOOK_S = 0.005


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run took: wall time, and time on all cores, in s."""

    wall_s: float
    cpu_s: float


def run(command: Sequence[str | Path], out: Path) -> Taken:
    """Run a program with its output in a file."""
    variables = {name: value for name, value in os.environ.items() if name not in UNUSUAL}
    watched = [sys.executable, "-I", "-S", "-c", WATCHER, *map(str, command)]
    with out.open("wb") as stream:
        done = subprocess.run(watched, stdout=stream, stderr=subprocess.PIPE, check=True, text=True, env=variables)
    code, *taken = json.loads(done.stderr.splitlines()[-1])
    if code not in (0, 1):
        raise SystemExit(f"{command[0]} failed with exit code {code}: {done.stderr}")
    return Taken(*taken)


def peak_mib(command: Sequence[str | Path], out: Path) -> float:
    """Return the most memory that a program and its processes take together, what they share counted once."""
    variables = {name: value for name, value in os.environ.items() if name not in UNUSUAL}
    peak_kib = 0
    with out.open("wb") as stream, subprocess.Popen(command, stdout=stream, env=variables) as running:
        while running.poll() is None:
            peak_kib = max(peak_kib, sum(map(_pss_kib, [running.pid, *_children(running.pid)])))
            time.sleep(LOOK_S)
    return peak_kib / 1024


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def _pss_kib(process: int) -> int:
    """Return the memory of a process, and its share of what it has in common with others."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def ours(m43: Path, case: Case, path: Path) -> list[str | Path]:
    """Return our command."""
    return [m43, "sniff", path, *case.layer, "--format", "jsonl"]


def peer(case: Case, path: Path) -> list[str | Path]:
    """Return sigrok-cli's command."""
    lines = "clk=CLK:mosi=MOSI" if case.traffic is None else "clk=CLK:mosi=DATA"
    decoder = f"spi:{lines}:cpol=1:cpha=1:bitorder=lsb-first"
    return [PEER, *PEER_INPUT[case.form], "-i", path, "-P", decoder, "-A", "spi"]


def compile_ours() -> None:
    """Compile our packages, which an installer does for a user."""
    for package in (m43proto, m43drivers, m43tools):
        for folder in package.__path__:
            compileall.compile_dir(folder, quiet=1)


def measure(m43: Path, case: Case, path: Path, out: Path, rounds: int, *, alone: bool) -> Result:
    """Run both programs alternately."""
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(run(ours(m43, case, path), out))
        if not alone:
            theirs.append(run(peer(case, path), out))
    ours_s, peer_s = _median(mine, "wall_s"), _median(theirs, "wall_s")
    return Result(
        case.name,
        ours_s or 0.0,
        peer_s,
        peer_s / ours_s if peer_s and ours_s else None,
        case.goal,
        peak_mib(ours(m43, case, path), out),
        _median(mine, "cpu_s") or 0.0,
        _median(theirs, "cpu_s"),
    )


def _median(runs: Sequence[Taken], what: str) -> float | None:
    return median(getattr(taken, what) for taken in runs) if runs else None


def told(result: Result) -> str:
    """Return a row of the table."""
    peer_s = f"{result.peer_s:9.2f}" if result.peer_s else "        -"
    ratio = f"{result.ratio:8.1f} x" if result.ratio else "         -"
    peer_cpu = f"{result.peer_cpu_s:.2f}" if result.peer_cpu_s else "-"
    cpu = f"{peer_cpu} / {result.ours_cpu_s:.2f}"
    goal = f"{result.goal:g} x" if result.goal else "-"
    return (
        f"| {result.case:26} | {peer_s} | {result.ours_s:8.2f} | {ratio} | {goal:>7} "
        f"| {result.peak_mib:5.0f} | {cpu:>14} |"
    )


def profile(folder: Path, samples: int) -> dict[str, float]:
    """Return the seconds that each stage of the dense capture takes on all cores, with the ones before."""
    path = Case(DENSE, samples, ".sr", 0).write(folder)
    stream, numbers = open_stream(path), {line: line.bit for line in LINES}
    writer = JsonWriter(io.StringIO(), "messages", PUBLIC)

    def lines(found: Found) -> None:
        if isinstance(found, Stretch):
            writer.rows(everything(found))

    stages: dict[str, Callable[[], None]] = {
        "inflate and CRC": partial(inflate, path),
        "+ changes": lambda: deque(stream.blocks(None), 0).clear(),
        "+ transactions": lambda: deque(observe_stream(stream, numbers, PUBLIC), 0).clear(),
        "+ JSON lines": lambda: deque(map(lines, observe_stream(stream, numbers, PUBLIC)), 0).clear(),
    }
    return {name: _cpu_s(stage) for name, stage in stages.items()}


def inflate(path: Path) -> None:
    """Read all samples of a session."""
    with Archive(path) as archive:
        for name in archive.names - {"version", "metadata"}:
            deque(archive.stream(name), 0)


def _cpu_s(stage: Callable[[], None]) -> float:
    start = resource.getrusage(resource.RUSAGE_SELF)
    stage()
    end = resource.getrusage(resource.RUSAGE_SELF)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sniff", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only what takes seconds")
    parser.add_argument("--growth", action="store_true", help="ours alone, 10 M to 10 G samples")
    parser.add_argument("--profile", action="store_true", help="seconds of each stage, dense 1 G")
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases whose name holds this")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    here = Path(sys.executable).with_name("m43")
    parser.add_argument("--m43", type=Path, metavar="FILE", default=here, help="which m43 (default: this one's)")
    parser.add_argument("--folder", type=Path, help="where the captures are made (default: a temporary folder)")
    return parser.parse_args()


def chosen(asked: argparse.Namespace) -> list[Case]:
    """Return the cases to run, after saying why others do not."""
    cases = [case for case in CASES if asked.only in case.name and (case.short or not asked.short)]
    if not REAL.exists():
        print(f"{CASES[6].name}: skipped, its file is not on this machine", file=sys.stderr)
        cases = [case for case in cases if case.traffic]
    if asked.growth:
        cases = [Case(kind, samples, ".sr", 0) for kind in (IDLE_HEAVY, DENSE) for samples in SIZES]
    return cases


def main() -> None:
    """Measure, print, and write the figures."""
    asked = arguments()
    alone = asked.growth or shutil.which(PEER) is None
    if shutil.which(PEER) is None:
        print(f"{PEER} is not installed: ours runs alone, without ratios", file=sys.stderr)
    figures: dict[str, object] = {"cpus": os.cpu_count(), "python": platform.python_version()}
    results = []
    compile_ours()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        if asked.profile:
            figures["profile_cpu_s"] = profile(folder, 100 * M if asked.short else G)
            print(json.dumps(figures["profile_cpu_s"], indent=2))
        else:
            print(f"| {'capture':26} | {PEER:>9} s | ours s   | ratio      | goal    | MiB   | CPU s, both    |")
            for case in chosen(asked):
                path = case.write(folder)
                rounds = 1 if asked.growth else asked.rounds
                results.append(measure(asked.m43, case, path, folder / "out", rounds, alone=alone))
                print(told(results[-1]), flush=True)
                if path != REAL:
                    path.unlink()
    figures["results"] = [asdict(result) for result in results]
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
