"""A case that runs more than once, or in pieces: what comes of all of it, without keeping all of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from m43tools.conformance.verdicts import Verdict, worst

if TYPE_CHECKING:
    from m43tools.conformance.model import CaseResult

__all__ = ["Runs", "Tally"]


def _graver(shown: CaseResult | None, result: CaseResult) -> CaseResult:
    """Return the one to show: the gravest verdict, and the first of those that are alike."""
    if shown is None or shown.verdict is result.verdict:
        return shown or result
    return result if worst((shown.verdict, result.verdict)) is result.verdict else shown


class Runs:
    """The runs of one case; verdicts that differ make it INCONCLUSIVE, and the gravest run is the one to show."""

    def __init__(self) -> None:
        self._verdicts: list[Verdict] = []
        self._shown: CaseResult | None = None

    def add(self, result: CaseResult) -> None:
        """Take in a run, or the runs of a result that has some already."""
        self._verdicts += result.runs or (result.verdict,)
        self._shown = _graver(self._shown, result)

    @property
    def result(self) -> CaseResult:
        """What came of the case; there has been a run."""
        shown, verdicts = self._shown, self._verdicts
        assert shown is not None
        if len(verdicts) == 1:
            return shown
        if len(set(verdicts)) == 1:
            return dataclasses.replace(shown, runs=tuple(verdicts))
        usual = max(dict.fromkeys(verdicts), key=verdicts.count)
        counts = ", ".join(f"{verdict} {verdicts.count(verdict)} times" for verdict in dict.fromkeys(verdicts))
        flakes = (len(verdicts) - verdicts.count(usual)) / len(verdicts) * 100
        message = f"{counts} in {len(verdicts)} runs, a flake rate of {flakes:.3g} %; {shown.message or shown.observed}"
        return dataclasses.replace(shown, verdict=Verdict.INCONCLUSIVE, message=message, runs=tuple(verdicts))


class Tally:
    """The pieces of one run of a case: occasions add up, and the gravest piece is the one to show."""

    def __init__(self) -> None:
        self._shown: CaseResult | None = None
        self._occasions = 0

    def add(self, result: CaseResult) -> None:
        """Take in what came of a piece; a piece without an occasion says nothing once another had some."""
        if self._shown is not None and not result.occasions:
            return
        self._occasions += result.occasions
        self._shown = _graver(self._shown, result)

    @property
    def result(self) -> CaseResult:
        """What came of the run; there has been a piece."""
        shown = self._shown
        assert shown is not None
        observed = f"{shown.observed} ({self._occasions} in all)" if shown.breached else f"{self._occasions} occasions"
        observed = observed if self._occasions else shown.observed
        return dataclasses.replace(shown, observed=observed, occasions=self._occasions)
