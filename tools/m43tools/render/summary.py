"""The figures of a capture -> a table for a person, or one JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from m43proto.evidence import Evidence
from m43tools.render.glyphs import glyphs_for
from m43tools.render.records import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from m43tools.render.glyphs import Glyphs
    from m43tools.summary import Gap, Summary

__all__ = ["summary_json", "summary_text"]

_LABEL_WIDTH = 12


def summary_json(summary: Summary, stream: TextIO) -> None:
    """Write the figures as one JSON object on one line; times in nanoseconds."""
    polling = summary.polling
    record = {
        "end_ns": summary.end_ns,
        "messages": dict(summary.messages),
        "evidence": summary.evidence,
        "command_sums_wrong": summary.command_sums_wrong,
        "data_sums_wrong": summary.data_sums_wrong,
        "incomplete": summary.incomplete,
        "violations": dict(summary.violations),
        "pin_events": dict(summary.pin_events),
        "poll_rate_hz": None if polling is None else round(polling.rate_hz, 3),
        "poll_period_ns": None if polling is None else [polling.shortest_ns, polling.longest_ns],
        "identities": [fields_of(identity) for identity in summary.identities],
        "busy_ns": summary.busy_ns,
        "shortest_gaps": [gap._asdict() for gap in summary.shortest_gaps],
        "longest_gaps": [gap._asdict() for gap in summary.longest_gaps],
    }
    stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def summary_text(summary: Summary, stream: TextIO) -> None:
    """Write the figures as a table."""
    glyphs = glyphs_for(stream)
    stream.writelines(line.rstrip() + "\n" for line in _lines(summary, glyphs))


def _lines(summary: Summary, glyphs: Glyphs) -> Iterator[str]:
    total = sum(summary.messages.values())
    share = summary.busy_ns / summary.end_ns if summary.end_ns else 0.0
    yield _line("capture", f"{summary.end_ns / 1e9:.3f} s, {total} transactions, bus busy {share:.1%}")
    yield from _lens_lines(summary)
    yield _line("polling", _polling(summary))
    yield from _labelled("messages", _message_rows(summary, glyphs))
    yield _line("wrong sums", f"{summary.command_sums_wrong} of commands, {summary.data_sums_wrong} of blocks")
    yield _line("broken off", f"{summary.incomplete} transactions")
    yield from _labelled("violations", [f"{count:>6}  {cause}" for cause, count in summary.violations.items()])
    yield from _labelled("pin events", [f"{count:>6}  {name}" for name, count in summary.pin_events.items()])
    yield from _labelled("busiest", map(_gap, summary.shortest_gaps))
    yield from _labelled("idlest", map(_gap, summary.longest_gaps))


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}} {text}"


def _labelled(label: str, rows: Iterable[str]) -> Iterator[str]:
    listed = list(rows) or ["none"]
    for index, row in enumerate(listed):
        yield _line("" if index else label, row)


def _lens_lines(summary: Summary) -> Iterator[str]:
    def described(fields: dict[str, object]) -> str:
        name = fields.get("lens") or "not in the lens database"
        identity = f"{fields.get('maker')} {fields.get('model')} {fields.get('submodel')}"
        return f"{name} ({identity}), serial {fields.get('serial')}, firmware {fields.get('firmware')}"

    yield from _labelled("lens", [described(fields_of(identity)) for identity in summary.identities])


def _polling(summary: Summary) -> str:
    polling = summary.polling
    if polling is None:
        return "fewer than two polls"
    spread = f"{polling.shortest_ns / 1e6:.2f} to {polling.longest_ns / 1e6:.2f} ms"
    return f"{polling.rate_hz:.1f} Hz (median), period {spread}"


def _message_rows(summary: Summary, glyphs: Glyphs) -> Iterator[str]:
    for name, count in summary.messages.most_common():
        wrong = summary.wrong[name]
        level = summary.evidence[name]
        verdict = f"{glyphs.bad} {wrong} with wrong sums" if wrong else glyphs.good
        provisional = "  PROVISIONAL" if level is Evidence.PROVISIONAL else ""
        yield f"{count:>6}  {glyphs.marks[level]} {name:<18} {verdict}{provisional}"


def _gap(gap: Gap) -> str:
    return f"{gap.length_ns / 1e6:>10.3f} ms at {gap.t_ns / 1e9:.6f} s, {gap.before} to {gap.after}"
