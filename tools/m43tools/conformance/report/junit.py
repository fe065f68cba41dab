"""A report -> JUnit XML, as continuous integration reads it.

A case that judged nothing is skipped, never passed; a case that broke the tester is an error, never skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from m43tools.conformance.report.words import provenance_rows, subject, times_text
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from m43tools.conformance.model import CaseResult, Measurement, Moment, Report

__all__ = ["junit_of"]

_OUTCOMES = {
    Verdict.FAIL: "failure",
    Verdict.ERROR: "error",
    Verdict.INCONCLUSIVE: "skipped",
    Verdict.NOT_APPLICABLE: "skipped",
}
"""The element that tells of a verdict; the other verdicts pass, and say what they have to say in system-out."""

_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

MOST_MOMENTS = 60
"""Moments of an exchange in the text of a failure, at most; the JSON has all of them."""


def junit_of(report: Report) -> str:
    """Return a report as JUnit XML: one suite, a test for each case, its class the chapter; times are of the bus."""
    cases = [_case(result) for result in report.results]
    took_ns = sum(result.duration_ns for result in report.results)
    counts = {"tests": str(len(cases)), **{key: _count(cases, name) for key, name in _COUNTED.items()}}
    attributes = {"name": f"m43 conform: {subject(report)}", **counts, "time": _seconds(took_ns)}
    suite = ET.Element("testsuite", {key: _clean(value) for key, value in attributes.items()})
    suite.append(_properties(report))
    suite.extend(cases)
    root = ET.Element("testsuites", {key: suite.attrib[key] for key in ("name", *counts, "time")})
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _count(cases: list[ET.Element], name: str) -> str:
    return str(sum(case.find(name) is not None for case in cases))


def _properties(report: Report) -> ET.Element:
    element = ET.Element("properties")
    for name, value in provenance_rows(report):
        ET.SubElement(element, "property", {"name": _clean(name), "value": _clean(value)})
    return element


def _case(result: CaseResult) -> ET.Element:
    case = result.case
    names = {"name": f"{case.id} {case.title}", "classname": case.chapter, "time": _seconds(result.duration_ns)}
    element = ET.Element("testcase", {key: _clean(value) for key, value in names.items()})
    outcome = _OUTCOMES.get(result.verdict)
    if outcome:
        said = {"message": _clean(f"{result.verdict}: {result.message or result.observed}")}
        kind = {} if outcome == "skipped" else {"type": ",".join(result.breached) or str(result.verdict)}
        ET.SubElement(element, outcome, {**said, **kind}).text = _clean(_details(result))
    else:
        ET.SubElement(element, "system-out").text = _clean(f"{result.verdict}: {_details(result)}")
    return element


def _details(result: CaseResult) -> str:
    lines = [result.message] if result.message else []
    lines += [f"expected: {result.expected}", f"observed: {result.observed}"]
    lines += [f"clauses: {', '.join(result.case.clauses)}"] if result.case.clauses else []
    lines += [f"known deviation: {result.deviation}"] if result.deviation else []
    lines += [_figures(one) for one in result.measurements]
    moments = result.exchange.moments if result.exchange else ()
    lines += [_moment(one) for one in moments[:MOST_MOMENTS]]
    lines += [f"... and {len(moments) - MOST_MOMENTS} more, in the JSON report"] if len(moments) > MOST_MOMENTS else []
    return "\n".join(lines)


def _figures(one: Measurement) -> str:
    limits = [f"{name} {value:g}" for name, value in _limits(one) if value is not None]
    margin = [] if one.margin_percent is None else [f"margin {one.margin_percent:+.1f} %"]
    figures = f"min {one.minimum:g}, median {one.median:g}, p99 {one.p99:g}, max {one.maximum:g} {one.unit}"
    return ", ".join([f"{one.name}: {figures}, n {one.count}", *limits, *margin])


def _limits(one: Measurement) -> tuple[tuple[str, float | None], ...]:
    return ("at least", one.low), ("at most", one.high)


def _moment(one: Moment) -> str:
    return f"{times_text(one.t_ns)}  {one.kind:<11}  {one.name}  {one.text}".rstrip()


def _seconds(time_ns: int) -> str:
    return f"{time_ns / 1e9:.6f}"


def _clean(text: str) -> str:
    """Write out the characters that XML cannot hold; a lens may say anything of itself."""
    return _NO_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
