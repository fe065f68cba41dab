"""How long ``m43 --help`` takes, beside the smallest click program: ``python -m tests.benchmarks.startup``.

Both run alternately, as whole processes. The goal is a ratio below 2.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

ROUNDS = 25
GOAL = 2.0

BARE = "import click\n@click.group()\ndef main():\n    'Nothing.'\nmain(['--help'], standalone_mode=False)"
OURS = "from m43tools.cli import main\nmain(['--help'])"


def seconds(code: str) -> float:
    """Return the wall time of one interpreter that runs `code`."""
    start_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start_s


def main() -> None:
    """Measure and print."""
    pairs = [(seconds(BARE), seconds(OURS)) for _ in range(ROUNDS)]
    bare_s, ours_s = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(ours / bare for bare, ours in pairs)
    print(f"bare click {bare_s * 1e3:.1f} ms, m43 --help {ours_s * 1e3:.1f} ms, ratio {ratio:.2f} (goal below {GOAL})")


if __name__ == "__main__":
    main()
