"""Builds and runs an example with Icarus Verilog and cocotb; see README.md beside this file."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent

EXIT_FAILED = 1
EXIT_MISSING = 3


@dataclass(frozen=True, slots=True)
class Example:
    """An example.

    Attributes:
        top: its outermost Verilog module, in a file of that name.
        design: the design that it tests, likewise.
        tests: the Python module with its cocotb tests.
    """

    top: str
    design: str
    tests: str


EXAMPLES = {
    "body": Example("mount_with_body", "m43_body", "with_verilog_body"),
    "lens": Example("mount_with_lens", "m43_lens", "with_verilog_lens"),
}


def run(example: Example, folder: Path, parameters: dict[str, str]) -> int:
    """Build and run one example in a folder; return how many of its tests failed."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    runner = get_runner("icarus")
    runner.build(
        sources=[HERE / f"{module}.v" for module in (example.top, example.design, "m43_end")],
        hdl_toplevel=example.top,
        parameters=parameters,
        build_dir=folder,
        always=True,
    )
    sys.path.insert(0, str(HERE))  # the runner hands its path on to the Python inside the simulator
    results = runner.test(
        test_module=example.tests,
        hdl_toplevel=example.top,
        build_dir=folder,
        test_dir=folder,
        results_xml=str(folder / "results.xml"),
    )
    tests, failed = get_results(results)
    return failed if tests else 1


def missing() -> str | None:
    """Return what this machine lacks to run an example, and how to get it; None when it lacks nothing."""
    if shutil.which("iverilog") is None:
        return "iverilog is not there; on Debian: apt-get install iverilog"
    if find_spec("cocotb") is None:
        return "cocotb is not there; pip install 'cocotb>=2.0'"
    from find_libpython import find_libpython

    if find_libpython() is None:
        return "this Python has no shared library, which cocotb needs; on Debian: apt-get install libpython3-dev"
    return None


def main() -> int:
    """Run an example and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Examples:\n  python tools/hdl/run.py body\n  python tools/hdl/run.py lens --folder build/lens\n\n"
        "Exit codes: 0 all is as it should be; 1 a test of the example failed; 2 wrong usage;\n"
        "3 iverilog or cocotb is missing.",
    )
    parser.add_argument("example", choices=EXAMPLES, help="which end is written in Verilog")
    parser.add_argument("--folder", type=Path, help="where to build and run; else a temporary folder")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="a parameter of the outermost module, such as BENT=1: a lens that sends a wrong sum",
    )
    given = parser.parse_args()
    lacking = missing()
    if lacking is not None:
        parser.exit(EXIT_MISSING, f"run.py: {lacking}\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        return EXIT_FAILED if run(EXAMPLES[given.example], folder, dict(given.parameter)) else 0


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE, such as BENT=1")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
