"""The kill matrix of the cases that judge a body: which case turns red for which broken body."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from m43drivers.simulator.script import parse_script
from m43proto.messages import PUBLIC
from m43proto.timing import body_timing
from m43tools.conformance.body_bench import SimBodyBench
from m43tools.conformance.body_mutants import BODY_MUTANTS, body_bench_with
from m43tools.conformance.cases import BODY_CASES
from m43tools.conformance.playing import SESSION
from m43tools.conformance.runner import Options, run_live
from m43tools.conformance.selftest import BAD, RED, Matrix, found_on, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43tools.conformance.verdicts import Verdict

__all__ = ["GOOD_BODIES", "body_kill_matrix", "good_body"]

GOOD_BODIES: dict[str, tuple[str, str]] = {
    f"{dialect} {timing}": (dialect, timing)
    for dialect, timing in (("E-P1", "patient"), ("E-PL1", "patient"), ("E-PL1", "fast"), ("E-P1", "slow"))
}
"""Bodies that keep every clause: their dialect and their timing."""

_BRIEF = parse_script(
    """
    step = ["power_up", "start_up", {do = "poll", frames = 4}, {do = "aperture", f = 5.6}, {do = "poll", frames = 2},
            {do = "focus", position = 120}, {do = "poll", frames = 3}, "power_down"]
    """,
    "brief",
)
"""A session with everything in it that a case needs, and not much else."""


def good_body(name: str) -> SimBodyBench:
    """Return the bench of a body of `GOOD_BODIES`."""
    dialect, timing = GOOD_BODIES[name]
    return SimBodyBench(dialect, _BRIEF, body_timing(timing), name=f"sim:{dialect}?timing={timing}")


def body_kill_matrix(
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda name: None,
    *,
    quick: bool = False,
    jobs: int = 1,
) -> Matrix:
    """Run all cases on the good bodies, and on every mutant those of the good session and those written for it.

    Args:
        only: names of mutants; only these, when there are any.
        tell: called with the name of each body that is done, in the order of the tables.
        quick: whether to run on a broken body only the cases that are written for it.
        jobs: how many processes share the work; the matrix is the same for any number.
    """
    good = [] if only else list(GOOD_BODIES)
    broken = [name for name in BODY_MUTANTS if not only or name in only]
    found = found_on([*good, *broken], partial(_tried, quick=quick), tell, jobs)
    return Matrix(
        good=kept(found, good, BAD),
        red=kept(found, broken, RED),
        meant={name: BODY_MUTANTS[name].meant for name in broken},
        everything=not only,
        cases=tuple(BODY_CASES),
        what="bodies",
    )


def _tried(name: str, *, quick: bool) -> dict[str, Verdict]:
    if name in GOOD_BODIES:
        bench, cases = good_body(name), tuple(BODY_CASES)
    else:
        mutant = BODY_MUTANTS[name]
        more = () if quick else tuple(case.id for case in BODY_CASES.values() if case.stimulus is SESSION)
        bench, cases = body_bench_with(mutant, PUBLIC, script=_BRIEF), tuple(dict.fromkeys((*more, *mutant.meant)))
    report = run_live(bench, [BODY_CASES[case] for case in cases], Options())
    return {one.case.id: one.verdict for one in report.results}
