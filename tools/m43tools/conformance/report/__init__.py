"""Reports of the conformance suite: JSON with a schema, JUnit XML, one HTML page, and what differs between two runs."""

from __future__ import annotations

from m43tools.conformance.report.reading import ReportError, read_report, report_from
from m43tools.conformance.report.writing import WRITERS, html_text, json_text, junit_text, write_report

__all__ = [
    "WRITERS",
    "ReportError",
    "html_text",
    "json_text",
    "junit_text",
    "read_report",
    "report_from",
    "write_report",
]
