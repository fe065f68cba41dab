"""The whole suite through a bridge: the firmware's logic as a process behind a PTY, and the same verdicts as `sim:`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.bridge.contacts import SimulatedContacts
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43drivers.simulator.stand import Stand
from m43drivers.streams.faulty import LinkFaults
from m43drivers.transports.loopback import LoopbackStream
from m43drivers.transports.probing import ProbingBridge
from m43proto.messages import PUBLIC, Status
from m43proto.pins import Line
from m43proto.timing import LENS_TIMINGS
from m43tools.cli import main
from m43tools.conformance.bench import SimBench
from m43tools.conformance.bridgebench import BridgeBench
from m43tools.conformance.cases import CASES
from m43tools.conformance.operations import PowerUp, Transact, Turn
from m43tools.conformance.probes import Prober
from m43tools.conformance.report.reading import read_report
from m43tools.conformance.report.words import provenance_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43tools.conformance.operations import Operation

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no PTYs on this system")

ROOT = Path(__file__).parents[2]
SHORT = ("--poll-time", "100ms")
PROCESS = ("-m", "m43drivers.bridge.process")

_OLD = """
import sys
from m43drivers.bridge import process

firmware = process.firmware()
take = firmware.Bridge._take

def as_before(bridge, seq, kind, payload):
    bridge._handlers = {n: handler for n, handler in bridge._handlers.items() if n < firmware.PROBE}
    take(bridge, seq, kind, payload)

firmware.Bridge._take, firmware.FIRMWARE = as_before, "0.1.0"
sys.exit(process.main())
"""

OLD = ("-c", _OLD)
"""A bridge as it was before probes."""


@contextmanager
def bridge(*options: str, program: tuple[str, ...] = PROCESS) -> Iterator[str]:
    """Run a bridge; give its URL: that of a PTY, unless the options ask for a socket."""
    where = () if "--socket" in options else ("--pty",)
    command = [sys.executable, *program, *where, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield f"{'serial' if where else 'socket'}:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def report_of(path: Path, *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["conform", *words, "-q", *SHORT, "--json", str(path)])
    return code, json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("options", "query", "words"),
    [
        ((), "", ()),
        (("--fault", "lost_bit"), "?fault=lost_bit", ("LNK-00*", "FRM-00*", "FRM-01*")),
    ],
    ids=["good", "lost_bit"],
)
def test_every_case_has_the_result_that_it_has_without_a_bridge(
    options: tuple[str, ...], query: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Not the verdicts alone: every measurement and edge of every case is the same, for virtual time stands still."""
    sim = [sys.executable, "-m", "m43tools", "conform", "--lens", f"sim:olympus-14-42{query}", "-q", *SHORT, *words]
    with subprocess.Popen([*sim, "--json", str(tmp_path / "sim.json")], stdout=subprocess.DEVNULL, cwd=ROOT) as beside:
        with bridge(*options) as url:
            code, report = report_of(tmp_path / "bridge.json", "--lens", url, *words)
        assert beside.wait() == code
    direct = json.loads((tmp_path / "sim.json").read_text(encoding="utf-8"))
    verdicts = {result["case"]["id"]: result["verdict"] for result in direct["results"]}
    assert {result["case"]["id"]: result["verdict"] for result in report["results"]} == verdicts
    assert report["results"] == direct["results"]
    assert len(verdicts) == len(CASES) or words
    assert "FAIL" in verdicts.values() or not query
    told = report["provenance"]
    assert (told["bridge_firmware"], told["resolution_ns"], told["lens_url"]) == ("0.3.0", 1, url)


def test_a_coarse_clock_and_a_noisy_line_change_no_verdict(tmp_path: Path) -> None:
    words = ("LNK-00*",)
    _, direct = report_of(tmp_path / "sim.json", "--lens", "sim:olympus-14-42", *words)
    with bridge("--socket", "localhost:0", "--tick", "100", "--garbage-every", "3") as url:
        _, report = report_of(tmp_path / "bridge.json", "--lens", url, *words)
    assert [one["verdict"] for one in report["results"]] == [one["verdict"] for one in direct["results"]]
    assert report["provenance"]["resolution_ns"] == 100
    assert ("times", "in steps of 100 ns") in provenance_rows(read_report(tmp_path / "bridge.json"))
    assert "times" not in dict(provenance_rows(read_report(tmp_path / "sim.json")))
    values = [
        measurement["minimum"]
        for result in report["results"]
        for measurement in result["measurements"]
        if measurement["unit"] == "ns"
    ]
    assert values
    assert all(value % 100 == 0 for value in values)


def test_without_hands_what_needs_them_is_not_applicable(tmp_path: Path) -> None:
    with bridge("--no-hands") as url:
        code, report = report_of(tmp_path / "r.json", "--lens", url, "RNG-*", "FRM-031", "IDN-00*")
    assert code == 0
    for result in report["results"]:
        needs = CASES[result["case"]["id"]].needs
        assert (result["verdict"] == "NOT_APPLICABLE") == bool(needs)


def test_lost_edges_make_it_inconclusive(tmp_path: Path) -> None:
    with bridge("--lose-edges", "3") as url:
        code, report = report_of(tmp_path / "r.json", "--lens", url, "FRM-00*")
    assert code == 3
    assert {result["verdict"] for result in report["results"]} == {"INCONCLUSIVE"}
    assert re.search(r"the bridge lost edges between \d+\.\d{3} and \d+\.\d{3} ms", report["results"][0]["message"])


@pytest.mark.parametrize("after", ["400", "60000"])
def test_a_bridge_that_goes_away_ends_the_run_with_one_line(
    after: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bridge("--die-after", after) as url:
        code, report = report_of(tmp_path / "r.json", "--lens", url, "FRM-*")
    assert code == 4
    assert report["lost"]
    assert len(report["results"]) < 30
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"m43: the bridge was lost: {url.removeprefix('serial:')}: is gone"


def test_a_statement_is_written_through_a_bridge_unless_it_goes_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["conform", "statement", "-o"]
    assert main([*words, str(tmp_path / "sim.toml"), "--lens", "sim:olympus-14-42"]) == 0
    with bridge() as url:
        assert main([*words, str(tmp_path / "bridge.toml"), "--lens", url]) == 0
    assert (tmp_path / "bridge.toml").read_text() == (tmp_path / "sim.toml").read_text()
    with bridge("--die-after", "2000") as url:
        assert main([*words, str(tmp_path / "none.toml"), "--lens", url]) == 4
    assert capsys.readouterr().err.startswith("m43: the bridge was lost: ")
    assert not (tmp_path / "none.toml").exists()


def test_an_old_bridge_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with bridge(program=OLD) as url:
        assert main(["conform", "--lens", url, "FRM-001"]) == 2
    assert capsys.readouterr().err == (
        f"m43: {url}: the bridge (m43 bridge, simulated, firmware 0.1.0) is too old to move single lines; "
        "copy firmware 0.2.0 or later to it\n"
    )


def test_where_no_bridge_answers_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    master, slave = os.openpty()
    try:
        assert main(["conform", "--lens", f"serial:{os.ttyname(slave)}", "FRM-001"]) == 4
    finally:
        os.close(master)
        os.close(slave)
    assert "no bridge answers within" in capsys.readouterr().err


def test_a_person_who_interrupts_gets_the_report_and_the_bridge_is_free_again(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with bridge() as url:
        words = ["conform", "--lens", url, "--poll-time", "60s", "--json", str(path)]
        command = [sys.executable, "-m", "m43tools", *words]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline().split()[:2] == ["LNK-001", "PASS"]
            process.send_signal(signal.SIGINT)
            began_s = time.monotonic()
            _, errors = process.communicate()
            assert process.returncode == 130
            assert time.monotonic() - began_s < 15
        assert errors == "m43: interrupted; the report has what was done\n"
        report = json.loads(path.read_text(encoding="utf-8"))
        assert report["interrupted"]
        assert report["results"]
        assert main(["lens", "info", "--lens", url]) == 0, "the next host finds no probe"


async def test_closing_switches_the_lens_off_in_the_middle_of_a_program() -> None:
    glass = SimulatedLens(PROFILES["olympus-14-42"])
    stand = Stand(glass, lambda lens: pin_lens(lens, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of))
    contacts = SimulatedContacts(pin_lens(glass, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of), lambda: stand)

    async def stream() -> LoopbackStream:
        return LoopbackStream(contacts, LinkFaults(), 1)

    link = ProbingBridge("loopback:", stream)
    await link.open()
    prober = Prober(PUBLIC.shape_of)
    operations: list[Operation] = [PowerUp(), *[Transact(Status.request())] * 2_000]
    programs = [prober.program(operation) for operation in operations]
    work = asyncio.create_task(link.carry_out(programs))
    async with asyncio.timeout(30):
        while not stand.levels & Line.SLEEP.mask:
            await asyncio.sleep(0)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await link.close()
    stand.edges()
    assert stand.levels == Line.CLK.mask


def test_a_stimulus_brings_the_same_recording_and_begins_anew() -> None:
    operations: list[Operation] = [PowerUp(), Turn("focus", 40), Transact(Status.request()), Transact(Status.request())]
    sim = SimBench(PROFILES["olympus-14-42"])
    expected = [sim.run(operations), sim.run(operations[2:])]
    with bridge() as url:
        bench = BridgeBench(url, PUBLIC)
        try:
            assert bench.hands == sim.hands
            assert [bench.run(operations), bench.run(operations[2:])] == expected
            bench.fresh()
            assert bench.run(operations) == expected[0]
        finally:
            bench.close()
