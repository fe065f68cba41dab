"""The captures in ``captures/`` that this project makes itself: each rebuilt by the command in its provenance.

A ``capture.toml`` of origin ``synthetic`` names the command that makes ``capture.sr`` (or a capture of another format,
as ``file`` says) and the one that decodes it to ``expected.jsonl``. Both run here in this process, in a folder of their
own.
"""

from __future__ import annotations

import shlex
import tempfile
import tomllib
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m43proto.errors import M43Error
from m43tools.render.spec import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "CAPTURE",
    "EXPECTED",
    "PROVENANCE",
    "capture_file",
    "capture_table",
    "provenances",
    "rebuilt",
    "same_session",
]

CAPTURE, EXPECTED, PROVENANCE = "capture.sr", "expected.jsonl", "capture.toml"


def provenances(root: Path) -> dict[Path, dict[str, Any]]:
    """Return the provenance of every folder in ``captures/``.

    Args:
        root: the repository.

    Raises:
        M43Error: there is none, or one is no TOML.
    """
    found = sorted((root / "captures").glob(f"*/{PROVENANCE}"))
    if not found:
        raise M43Error(f"{root}: no captures/*/{PROVENANCE} here; run it in the root of the repository or give --root")
    return {path.parent: _read(path) for path in found}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise M43Error(f"{path}: is no TOML: {error}") from None


def rebuilt(folder: Path, provenance: dict[str, Any]) -> dict[Path, bytes]:
    """Return what the files of a synthetic capture should hold.

    Raises:
        M43Error: a command does not do what the provenance says.
    """
    name = capture_file(provenance)
    with tempfile.TemporaryDirectory() as made:
        files = {name: Path(made) / name, EXPECTED: Path(made) / EXPECTED}
        _run(folder, provenance["made"]["command"], files, 0)
        _run(folder, f"{provenance['decode']['command']} -o {EXPECTED}", files, provenance["decode"]["exit_code"])
        found = sorted(path for path in Path(made).rglob("*") if path.is_file())
        return {folder / path.relative_to(made): path.read_bytes() for path in found}


def capture_file(provenance: dict[str, Any]) -> str:
    """Return the name of the capture that a provenance tells of; for a binary export of Logic 2, of its folder."""
    name: str = provenance["capture"].get("file", CAPTURE)
    return name


def _run(folder: Path, command: str, files: Mapping[str, Path], expected: int) -> None:
    """Run a command in which names stand for files, and ``../`` for the folders beside this one."""
    from m43tools.cli import main

    program, *arguments = shlex.split(command)
    if program != "m43":
        raise M43Error(f"{folder / PROVENANCE}: {command}: expected a command of m43")
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main([str(files.get(argument) or _beside(folder, argument)) for argument in arguments])
    if code != expected:
        raise M43Error(
            f"{folder / PROVENANCE}: {command}: expected exit code {expected}, found {code}: {said.getvalue().strip()}"
        )


def _beside(folder: Path, argument: str) -> str:
    return str(folder.parent / argument.removeprefix("../")) if argument.startswith("../") else argument


def same_session(one: bytes, other: bytes) -> bool:
    """Tell whether two zip archives hold the same; how they are packed depends on the version of zlib."""
    return one == other or dict(_entries(one)) == dict(_entries(other))


def _entries(session: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(BytesIO(session)) as archive:
            for entry in archive.namelist():
                yield entry, archive.read(entry)
    except zipfile.BadZipFile:
        yield "", session


def _rate(one: Mapping[str, Any]) -> str:
    rate_hz = one["sampling"].get("rate_hz")
    return "exact times" if rate_hz is None else f"{rate_hz / 1e6:g} MHz"


def capture_table(told: Mapping[Path, dict[str, Any]]) -> str:
    """Return a table of Markdown with a row for each capture.

    Args:
        told: the provenances by folder.
    """
    return markdown(
        ("folder", "what it shows", "origin", "rate", "decode it with", "exit code"),
        [
            (
                f"`{folder.name}`",
                one["capture"]["title"],
                one["capture"]["origin"],
                _rate(one),
                f"`{one['decode']['command'].removesuffix(' --format jsonl')}`",
                str(one["decode"]["exit_code"]),
            )
            for folder, one in told.items()
        ],
    )
