"""A report -> the text of a file; each writer is imported when it is asked for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from m43tools.conformance.model import to_json
from m43tools.output import open_output

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from m43tools.conformance.model import Report

__all__ = ["WRITERS", "html_text", "json_text", "junit_text", "write_report"]

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, such as a file's name may hold; UTF-8 has no form for it."""


def json_text(report: Report) -> str:
    """Return a report as JSON; the same run gives the same bytes."""
    text = _written(to_json(report), "\n") + "\n"
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written(value: object, new_line: str) -> str:
    """Return a JSON value; what holds nothing but single values stands in one line, such as an edge."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(one, dict | list) for one in inner):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    deeper = f"{new_line} "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_written(one, deeper)}" for key, one in value.items()]
        return f"{{{deeper}{f',{deeper}'.join(parts)}{new_line}}}"
    assert isinstance(value, list)  # nothing else has an inside
    return f"[{deeper}{f',{deeper}'.join(_written(one, deeper) for one in value)}{new_line}]"


def junit_text(report: Report) -> str:
    """Return a report as JUnit XML, for continuous integration."""
    from m43tools.conformance.report.junit import junit_of

    return junit_of(report)


def html_text(*reports: Report) -> str:
    """Return one HTML page that needs nothing else, for one report or for several beside each other."""
    from m43tools.conformance.report.page import page_of

    return page_of(reports)


WRITERS: dict[str, Callable[[Report], str]] = {"json": json_text, "junit": junit_text, "html": html_text}
"""Forms of a report: name -> function that gives the text of the file."""


def write_report(report: Report, form: str, path: Path) -> None:
    """Write a report to a file that appears whole or not at all.

    Args:
        report: what to write.
        form: a name in `WRITERS`.
        path: where.

    Raises:
        OutputError: the file cannot be written.
    """
    text = WRITERS[form](report)
    with open_output(path) as stream:
        stream.write(text)
