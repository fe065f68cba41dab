"""The command line of a run, made again of its report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from m43tools.conformance.report.reading import ReportError

if TYPE_CHECKING:
    from m43tools.conformance.model import Report

__all__ = ["OUTPUTS", "check_capture", "rerun_arguments"]

OUTPUTS = ("--json", "--junit", "--html")
"""Options that name a file to write; a run that is done again writes none of them unless asked to."""

_BLOCK = 1 << 20


def rerun_arguments(report: Report) -> tuple[str, ...]:
    """Return the words behind ``m43`` that do the run again, with the seed that it drew, and without its outputs.

    Raises:
        ReportError: the report does not tell its command line.
    """
    from_ = report.provenance
    if not from_.command_line:
        raise ReportError("provenance.command_line is empty; this report does not tell how it was made")
    words = _without_outputs(from_.command_line)
    seeded = any(word == "--seed" or word.startswith("--seed=") for word in words)
    return (*words, *(() if seeded else ("--seed", str(from_.seed))))


def _without_outputs(words: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in OUTPUTS:
            next(rest, None)
        elif not word.startswith(tuple(f"{option}=" for option in OUTPUTS)):
            kept.append(word)
    return tuple(kept)


def check_capture(report: Report) -> None:
    """See that the capture of a passive run is still the one that was judged; nothing to see in a live run.

    Raises:
        ReportError: it cannot be read, or holds other bytes.
    """
    from_ = report.provenance
    if not from_.capture_sha256:
        return
    path = Path(_capture_named(from_.command_line) or from_.capture)
    try:
        found = _sha256(path)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}; the report judges this capture") from None
    if found != from_.capture_sha256:
        raise ReportError(
            f"{path}: not the capture of the report: SHA-256 {found[:12]}… here, {from_.capture_sha256[:12]}… there"
        )


def _capture_named(words: tuple[str, ...]) -> str | None:
    """Return the path behind ``--capture``; the provenance may hold the name alone."""
    for index, word in enumerate(words):
        if word == "--capture" and index + 1 < len(words):
            return words[index + 1]
        if word.startswith("--capture="):
            return word.partition("=")[2]
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
