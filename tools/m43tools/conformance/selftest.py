"""The kill matrix: which case turns red for which broken lens. A case that never does proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m43drivers.simulator.faults import FAULTS, faults_named
from m43drivers.simulator.profiles import PROFILES
from m43proto.messages import PROVISIONAL, PUBLIC
from m43tools.conformance.bench import SimBench
from m43tools.conformance.cases import CASES
from m43tools.conformance.mutants import BASE, MUTANTS, bench_with
from m43tools.conformance.operations import SECOND
from m43tools.conformance.runner import Options, run_live
from m43tools.conformance.statement import statement_of
from m43tools.conformance.stimuli import INTERVIEW, Known, Soak
from m43tools.conformance.trace import Trace
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43tools.conformance.bench import Bench
    from m43tools.conformance.model import Report

__all__ = ["FAULT_CASES", "Matrix", "kill_matrix", "matrix_text", "verdicts_on"]

_CATALOGUE = PUBLIC | PROVISIONAL
_RED = (Verdict.FAIL, Verdict.WARN)
_GOOD = (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE)

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


@dataclass(frozen=True, slots=True)
class Matrix:
    """What came of the self-test.

    Attributes:
        good: for each good lens, the cases that did not pass.
        red: for each broken lens, the cases that turned red, with their verdicts.
        meant: for each broken lens, the cases that are written for it.
        everything: whether all broken lenses were run, so that every case must be red for one.
    """

    good: dict[str, dict[str, Verdict]]
    red: dict[str, dict[str, Verdict]]
    meant: dict[str, tuple[str, ...]]
    everything: bool

    @property
    def survivors(self) -> dict[str, tuple[str, ...]]:
        """Return the broken lenses that a case written for them did not find, with those cases."""
        missed = {name: tuple(one for one in meant if one not in self.red[name]) for name, meant in self.meant.items()}
        return {name: cases for name, cases in missed.items() if cases}

    @property
    def toothless(self) -> tuple[str, ...]:
        """Return the cases that are red for no broken lens."""
        bitten = {case for cases in self.red.values() for case in cases}
        return tuple(case for case in CASES if case not in bitten) if self.everything else ()

    @property
    def whole(self) -> bool:
        """Whether the good lenses pass, every broken one is found by its cases, and every case finds one."""
        return not any(self.good.values()) and not self.survivors and not self.toothless


def verdicts_on(bench: Bench, cases: Sequence[str] = ()) -> Report:
    """Run cases, all for none named, as the self-test does: short soaks, risky ones too, the statement of `BASE`."""
    chosen = [CASES[name] for name in cases] if cases else list(CASES.values())
    statement = _statement() if "panasonic-pz" in bench.name or bench.name in MUTANTS else {}
    options = Options(allow_risky=True, soak=Soak(SECOND // 5), statement=statement, catalogue=_CATALOGUE, brief=True)
    return run_live(bench, chosen, options)


def _statement() -> dict[str, object]:
    recording = SimBench(BASE, catalogue=_CATALOGUE).run(INTERVIEW.operations(Known()))
    identity = statement_of(Trace(recording, _CATALOGUE))["identity"]
    return {"identity": {"firmware": identity["firmware"]}}


def kill_matrix(
    only: Sequence[str] = (), tell: Callable[[str], None] = lambda name: None, *, quick: bool = False
) -> Matrix:
    """Run the suite on the good lenses, on every fault and on every mutant.

    Args:
        only: names of faults and mutants; only these, when there are any.
        tell: called with the name of each lens.
        quick: whether to run on a broken lens only the cases that are written for it.
    """
    good: dict[str, dict[str, Verdict]] = {}
    for name, profile in PROFILES.items() if not only else ():
        tell(name)
        report = verdicts_on(SimBench(profile, catalogue=_CATALOGUE))
        good[name] = {one.case.id: one.verdict for one in report.results if one.verdict not in _GOOD}
    red: dict[str, dict[str, Verdict]] = {}
    meant: dict[str, tuple[str, ...]] = {}
    for name in (*FAULTS, *MUTANTS):
        if only and name not in only:
            continue
        tell(name)
        meant[name] = FAULT_CASES[name] if name in FAULTS else MUTANTS[name].meant
        report = verdicts_on(_broken(name), meant[name] if quick else ())
        red[name] = {one.case.id: one.verdict for one in report.results if one.verdict in _RED}
    return Matrix(good, red, meant, everything=not only)


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
    lines += [f"TOOTHLESS {case}: red for no broken lens" for case in matrix.toothless]
    killed = len(matrix.red) - len(matrix.survivors)
    lines.append(f"{killed} of {len(matrix.red)} broken lenses found by the cases written for them (*)")
    return "\n".join(lines)


def _listed(found: dict[str, Verdict]) -> str:
    return ", ".join(f"{case} {verdict}" for case, verdict in found.items())
