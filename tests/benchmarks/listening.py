"""Ten virtual minutes of a mount through a bridge that listens: ``python -m tests.benchmarks.listening [MINUTES]``.

The whole firmware is a process behind a PTY, at the pins of a simulated body and lens; `m43 sniff --live` decodes what
it tells. Every row has to be that of the pair itself, and its times within 0.4 us. Prints what it costs on the link,
and in processor time.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from m43drivers.analyser.port import MOST, Port
from m43tools import live
from m43tools.cli import main as m43
from tests.analyser.pairs import differences, listening_bridge, plug_in

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = 10.0
SCRIPT = 'step = ["power_up", "start_up", {{do = "poll", frames = {frames}}}, "power_down"]'
FRAME_HZ = 60


received: list[int] = []
"""Sizes of what came from the bridge."""


def _counted(read: Callable[[Port, int], bytes]) -> Callable[[Port, int], bytes]:
    def counting(port: Port, most: int = MOST) -> bytes:
        data = read(port, most)
        received.append(len(data))
        return data

    return counting


def main() -> int:
    """Run both, compare and print; return 0 when all is equal."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    live.PATIENCE_S = 3600.0
    plug_in()
    Port.read = _counted(Port.read)  # type: ignore[method-assign,assignment]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "polls.toml"
        script.write_text(SCRIPT.format(frames=round(minutes * 60 * FRAME_HZ)), encoding="utf-8")
        true, heard = Path(folder) / "true.jsonl", Path(folder) / "heard.jsonl"
        _sniff(f"truth:{script}", true)
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        with listening_bridge(script) as path:
            code = _sniff(f"bridge:{path}", heard, "--duration", f"{minutes * 60 + 2:g}s")
        host_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        wrong = differences(true.read_text(encoding="utf-8"), heard.read_text(encoding="utf-8"))
        rows = true.read_text(encoding="utf-8")
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    polls = rows.count('"Status"')
    print(f"{minutes:g} virtual minutes: {rows.count(chr(10))} rows, {polls} polls; exit code {code}")
    print(f"link: {sum(received)} bytes, {sum(received) / polls:.0f} a poll with its frame lines,"
          f" {sum(received) / minutes / 60e3:.1f} kB/s")  # fmt: skip
    print(f"processor a virtual minute: bridge with the pair {(children.ru_utime + children.ru_stime) / minutes:.1f} s,"
          f" m43 sniff {host_s / minutes:.1f} s; {wall_s:.0f} s on the wall")  # fmt: skip
    for difference in wrong[:5]:
        print(difference)
    print(f"{len(wrong)} differences")
    return int(bool(wrong))


def _sniff(source: str, out: Path, *options: str) -> int:
    return m43(["sniff", "--live", source, "--format", "jsonl", "-o", os.fspath(out), *options])


if __name__ == "__main__":
    sys.exit(main())
