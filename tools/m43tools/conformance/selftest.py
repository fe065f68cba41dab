"""The kill matrix: which case turns red for which broken lens. A case that never does proves nothing."""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from m43drivers.simulator.faults import FAULTS, faults_named
from m43drivers.simulator.profiles import PROFILES
from m43proto.errors import M43Error
from m43proto.messages import PROVISIONAL, PUBLIC
from m43tools.conformance.bench import SimBench
from m43tools.conformance.cases import ALL_CASES, CASES
from m43tools.conformance.clauses import CLAUSES, Level
from m43tools.conformance.mutants import BASE, MUTANTS, bench_with
from m43tools.conformance.operations import SECOND
from m43tools.conformance.runner import Options, interviewed, run_live
from m43tools.conformance.statement import statement_of
from m43tools.conformance.stimuli import Soak
from m43tools.conformance.trace import Trace
from m43tools.conformance.verdicts import Verdict
from m43tools.interrupts import interrupts_held

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from m43tools.conformance.bench import Bench
    from m43tools.conformance.model import Report

__all__ = [
    "BAD",
    "FAULT_CASES",
    "GOOD",
    "RED",
    "Matrix",
    "found_on",
    "kept",
    "kill_matrix",
    "matrix_text",
    "verdicts_on",
]

_CATALOGUE = PUBLIC | PROVISIONAL
RED = (Verdict.FAIL, Verdict.WARN)
"""Verdicts of a case that has found something."""

GOOD = (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE)
"""Verdicts of a case that finds nothing wrong."""

BAD = tuple(verdict for verdict in Verdict if verdict not in GOOD)
"""Verdicts that no case may have on a good lens."""

FAULT_CASES: dict[str, tuple[str, ...]] = {
    "wrong_command_sum": ("FRM-001",),
    "wrong_data_sum": ("FRM-002", "FRM-003"),
    "length_off_by_one": ("FRM-004",),
    "wrong_identity": ("IDN-004",),
    "busy_for_ever": ("SES-003",),
    "aperture_stuck": ("DRV-001",),
    "focus_stalls": ("DRV-007",),
    "focus_overshoots": ("DRV-007",),
    "status_lies": ("STA-010",),
    "lens_ack_stuck_high": ("LNK-007",),
    "lens_ack_stuck_low": ("LNK-005",),
    "late_ack": ("LNK-024",),
    "short_ack_pulse": ("LNK-008",),
    "lost_bit": ("FRM-009",),
    "data_into_body_turn": ("LNK-022",),
    "reset_mid_transaction": ("LNK-011",),
    "yanked": ("LNK-016",),
}
"""The cases that are written for each fault of the simulator: they must FAIL, not only WARN."""


MOST_BESIDE = 10
"""How many cases may FAIL for one defect beside those that are written for it."""

CRIPPLED: dict[str, str] = {}
"""Defects that rightly FAIL more cases than that, each with the reason."""


class UnknownLensError(M43Error):
    """There is no fault and no mutant of a name; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """What came of the self-test.

    Attributes:
        good: for each good lens, the cases that did not pass.
        red: for each broken lens, the cases that turned red, with their verdicts.
        meant: for each broken lens, the cases that are written for it.
        everything: whether all broken lenses were run, so that every case must be red for one.
        cases: the cases that must be; one that only measures cannot.
        what: what was run, in the plural.
    """

    good: dict[str, dict[str, Verdict]]
    red: dict[str, dict[str, Verdict]]
    meant: dict[str, tuple[str, ...]]
    everything: bool
    cases: tuple[str, ...] = tuple(name for name, case in CASES.items() if not case.measures)
    what: str = "lenses"

    @property
    def survivors(self) -> dict[str, tuple[str, ...]]:
        """Return the broken lenses that a case written for them did not find, with those cases."""
        missed = {name: tuple(one for one in meant if one not in self.red[name]) for name, meant in self.meant.items()}
        return {name: cases for name, cases in missed.items() if cases}

    @property
    def toothless(self) -> tuple[str, ...]:
        """Return the cases that are red for no broken lens."""
        bitten = {case for cases in self.red.values() for case in cases}
        return tuple(case for case in self.cases if case not in bitten) if self.everything else ()

    @property
    def mild(self) -> dict[str, tuple[str, ...]]:
        """Return the broken lenses on which a case of a MUST that is written for them only warned, with those cases."""
        only_warned = {
            name: tuple(one for one in meant if self.red[name].get(one) is Verdict.WARN and _judges_a_must(one))
            for name, meant in self.meant.items()
        }
        return {name: cases for name, cases in only_warned.items() if cases}

    @property
    def avalanches(self) -> dict[str, int]:
        """Return the broken lenses that FAIL too many cases beside those written for them, with their number."""
        beside = {
            name: sum(one is Verdict.FAIL and case not in self.meant[name] for case, one in found.items())
            for name, found in self.red.items()
        }
        return {name: count for name, count in beside.items() if count > MOST_BESIDE and name not in CRIPPLED}

    @property
    def whole(self) -> bool:
        """Whether the good lenses pass, every broken one is found by its cases and few others, and every case bites."""
        return not (any(self.good.values()) or self.survivors or self.mild or self.toothless or self.avalanches)


def _judges_a_must(case: str) -> bool:
    return CLAUSES[ALL_CASES[case].clauses[0]].level is Level.MUST


def verdicts_on(bench: Bench, cases: Sequence[str] = ()) -> Report:
    """Run cases, all for none named, as the self-test does: short soaks, risky ones too, the statement of `BASE`."""
    chosen = [CASES[name] for name in cases] if cases else list(CASES.values())
    statement = _statement() if "panasonic-pz" in bench.name or bench.name in MUTANTS else {}
    options = Options(allow_risky=True, soak=Soak(SECOND // 5), statement=statement, catalogue=_CATALOGUE, brief=True)
    return run_live(bench, chosen, options)


_DECLARED = (
    "identity.firmware",
    "optics.narrowest_aperture_f",
    "optics.zoom",
    "stabilisation.present",
    "link.lens_data_bytes",
)
"""What the self-test declares of `BASE`: one key for each case that compares any."""


@cache
def _statement() -> dict[str, dict[str, Any]]:
    bench = SimBench(BASE, catalogue=_CATALOGUE)
    told = statement_of(*(Trace(recording, _CATALOGUE) for recording in interviewed(bench)))
    return {
        table: {key: value for key, value in entries.items() if f"{table}.{key}" in _DECLARED}
        for table, entries in told.items()
    }


def kill_matrix(
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda name: None,
    *,
    quick: bool = False,
    jobs: int = 1,
) -> Matrix:
    """Run the suite on the good lenses, on every fault and on every mutant.

    Args:
        only: names of faults and mutants; only these, when there are any.
        tell: called with the name of each lens that is done, in the order of the tables.
        quick: whether to run on a broken lens only the cases that are written for it.
        jobs: how many processes share the work; the matrix is the same for any number.

    Raises:
        UnknownLensError: there is no fault and no mutant of a name.
    """
    unknown = [name for name in only if name not in (*FAULTS, *MUTANTS)]
    if unknown:
        raise UnknownLensError(
            f"there is no broken lens called {', '.join(unknown)}; specs/6-conformance.md, 6.6, lists them"
        )
    good = [] if only else list(PROFILES)
    broken = [name for name in (*FAULTS, *MUTANTS) if not only or name in only]
    found = found_on([*good, *broken], partial(_tried, quick=quick), tell, jobs)
    return Matrix(
        good=kept(found, good, BAD),
        red=kept(found, broken, RED),
        meant={name: meant_for(name) for name in broken},
        everything=not only,
    )


def found_on(
    names: Sequence[str], tried: Callable[[str], dict[str, Verdict]], tell: Callable[[str], None], jobs: int
) -> dict[str, dict[str, Verdict]]:
    """Return what each case found on each lens or body.

    Args:
        names: of the lenses or bodies.
        tried: tries one of them by its name; has to be a function of a module, for other processes.
        tell: called with each name that is done, in their order.
        jobs: how many processes share the work.
    """
    found = {}
    for name, verdicts in zip(names, _spread(jobs, tried, names), strict=True):
        found[name] = verdicts
        tell(name)
    return found


def meant_for(name: str) -> tuple[str, ...]:
    """Return the cases that are written for a broken lens."""
    return FAULT_CASES[name] if name in FAULTS else MUTANTS[name].meant


def _spread(
    jobs: int, tried: Callable[[str], dict[str, Verdict]], names: Sequence[str]
) -> Iterator[dict[str, Verdict]]:
    """Yield what came of each one, in order."""
    if min(jobs, len(names)) <= 1:
        yield from map(tried, names)
        return
    others = set(multiprocessing.active_children())
    # A process with threads cannot be forked safely.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(names)), mp_context=context, initializer=_begin_worker) as pool:
        try:
            with interrupts_held():
                found = [pool.submit(tried, name) for name in names]
            for one in found:
                yield one.result()
        except BaseException:
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise


def kept(
    found: Mapping[str, dict[str, Verdict]], names: Iterable[str], verdicts: Container[Verdict]
) -> dict[str, dict[str, Verdict]]:
    """Return, for each of these lenses or bodies, the cases with one of these verdicts."""
    return {name: {case: one for case, one in found[name].items() if one in verdicts} for name in names}


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, which ends its workers and tells."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tried(name: str, *, quick: bool) -> dict[str, Verdict]:
    if name in PROFILES:
        report = verdicts_on(SimBench(PROFILES[name], catalogue=_CATALOGUE))
    else:
        report = verdicts_on(_broken(name), meant_for(name) if quick else ())
    return {one.case.id: one.verdict for one in report.results}


def _broken(name: str) -> SimBench:
    if name in FAULTS:
        return SimBench(BASE, faults_named([name]), catalogue=_CATALOGUE)
    return bench_with(MUTANTS[name], _CATALOGUE)


def matrix_text(matrix: Matrix) -> str:
    """Return the matrix as text: a line for each lens with the cases that turned red, those meant for it marked."""
    lines = [f"{name}: {_listed(found) or 'all good'}" for name, found in matrix.good.items()]
    for name, found in matrix.red.items():
        meant = matrix.meant[name]
        shown = " ".join(f"{'*' if case in meant else ''}{case}" for case in found)
        lines.append(f"{name:24} {len(found):3} red  {shown}")
    lines += [f"SURVIVED {name}: {' '.join(cases)} did not find it" for name, cases in matrix.survivors.items()]
    lines += [f"MILD {name}: {' '.join(cases)} only warned, though it is a MUST" for name, cases in matrix.mild.items()]
    lines += [f"TOOTHLESS {case}: red for none of the broken {matrix.what}" for case in matrix.toothless]
    lines += [
        f"AVALANCHE {name}: {count} FAIL beside those written for it" for name, count in matrix.avalanches.items()
    ]
    killed = len(matrix.red) - len(matrix.survivors)
    lines.append(f"{killed} of {len(matrix.red)} broken {matrix.what} found by the cases written for them (*)")
    return "\n".join(lines)


def _listed(found: dict[str, Verdict]) -> str:
    return ", ".join(f"{case} {verdict}" for case, verdict in found.items())
