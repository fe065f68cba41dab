"""``m43 export`` of what other programs take: where it goes, what it refuses, and that nothing old is left behind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from m43proto import PUBLIC, encodings
from m43proto.messages import Status
from m43tools.export import FOREIGN
from m43tools.exporting.rows import divisor_of
from tests.test_sniff import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", list(FOREIGN))
def test_the_folder_in_the_repository_holds_the_export_and_nothing_else(target: str) -> None:
    folder, made = FOREIGN[target]
    held = {path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT / folder)): path.read_bytes() for path in held} == made(PUBLIC)


@pytest.mark.parametrize("target", ["sigrok", "saleae"])
def test_no_file_needs_this_package_or_a_new_python(target: str) -> None:
    for name, content in FOREIGN[target][1](PUBLIC).items():
        if name.endswith(".py"):
            tree = ast.parse(content, feature_version=(3, 8))
            tree.body = [node for node in tree.body if not isinstance(node, ast.If)]  # for type checkers only
            modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not {module for module in modules if module.split(".")[0] in ("m43proto", "m43tools", "construct")}


def test_several_targets_get_a_folder_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(("export", "c", "sigrok", "-o", tmp_path / "out"), capsys)
    assert run.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"c", "sigrok"}
    assert (tmp_path / "out" / "c" / "m43.h").read_bytes() == (ROOT / "tools" / "c" / "m43.h").read_bytes()
    assert Run(("export", "c", "sigrok", "--check", "-o", tmp_path / "out"), capsys).out == ""
    (tmp_path / "out" / "c" / "m43.c").write_text("old", encoding="utf-8")
    run = Run(("export", "c", "sigrok", "--check", "-o", tmp_path / "out"), capsys)
    assert (run.code, run.out) == (1, f"stale: {tmp_path / 'out' / 'c' / 'm43.c'}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("export", "spec", "-o", "here"),
            "-o DIR goes with sigrok, saleae, wireshark, c; spec stands in the repository",
        ),
        (("export", "-o", "here"), "-o DIR goes with sigrok, saleae, wireshark, c; spec stands in the repository"),
        (("--catalogue", "provisional", "export", "c"), "with --catalogue, say where to: -o DIR"),
    ],
)
def test_what_cannot_be_meant_is_told(
    arguments: tuple[str, ...],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(arguments, capsys)
    assert run.code == 2
    assert line in run.err
    assert list(tmp_path.iterdir()) == []


def test_a_division_is_found_by_trying_every_wire_value() -> None:
    assert divisor_of(encodings.FOCAL_LENGTH) == 10
    assert divisor_of(encodings.ANGLE) == 1000
    assert divisor_of(encodings.FOCUS_POSITION) == 1
    assert divisor_of(encodings.DISTANCE) is None  # it has an infinity
    assert divisor_of(encodings.F_NUMBER) is None


def test_names_in_c_end_in_what_the_wire_counts() -> None:
    from m43tools.exporting.c import c_message

    names = [field.name for field in c_message(Status).fields]
    assert {"focus_distance_m_x200", "aperture_av_x256", "focus_position", "zoom_step"} <= set(names)
