"""Catalogues of the user's own: files, packages, conflicts."""

from __future__ import annotations

import json
import re
import textwrap
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from m43proto.errors import DeclarationError
from m43proto.messages import PROVISIONAL, PUBLIC
from m43tools.catalogues import combined, named_catalogue
from tests.recordings import session, vcd
from tests.test_sniff import Run
from tests.waveform import Script

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def readme_example() -> str:
    example = re.search(r"```python\n(# mine\.py.*?)```", README, re.DOTALL)
    assert example
    return example[1]


def test_the_readme_example_names_and_decodes_a_private_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(readme_example(), encoding="utf-8")
    assert len([line for line in readme_example().splitlines() if line and not line.startswith("#")]) <= 10
    path = vcd(tmp_path, session(Script(bytes.fromhex("c1a00000"), "C", bytes.fromhex("ee00"))))
    run = Run(("--catalogue", str(mine), "sniff", path, "--only", "LensTemperature", "--format", "jsonl"), capsys)
    assert run.code == 0, run.err
    [record] = run.records
    assert record["fields"]["temperature_degc"] == 23.8
    assert "temperature 23.8 °C" in Run(("--catalogue", str(mine), "sniff", path), capsys).out
    listed = Run(("--catalogue", str(mine), "messages", "--json"), capsys)
    assert json.loads(listed.out)[-1]["name"] == "LensTemperature"
    assert Run(("sniff", path, "--only", "Unknown", "--format", "jsonl"), capsys).records[0]["name"] == "Unknown"


def test_built_in_catalogues_have_names() -> None:
    assert named_catalogue("provisional") is PROVISIONAL
    assert combined([]) is PUBLIC
    assert len(combined(["provisional"])) == len(PUBLIC) + len(PROVISIONAL)


HEAD = """
from m43proto import Catalogue, Message, argument, message, raw
"""

NEW = """
@message("A0 77", evidence="confirmed", source="our bench")
class Blink(Message):
    '''Blinks.'''
    arguments: bytes = argument(raw(2), "two bytes", default=bytes(2))
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(path)


def test_a_file_may_name_its_catalogue(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + NEW + 'CATALOGUE = Catalogue("acme", [Blink])')
    assert named_catalogue(path).name == "acme"
    assert combined(["provisional", path]).name == "public | provisional | acme"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = (", r"the file is broken: SyntaxError: .*line 1"),
        ("\nimport no_such_module_at_all", r"the file is broken: line 2: ModuleNotFoundError: No module named"),
        ("raise SystemError('odd\\nthing')", "the file is broken: line 1: SystemError: odd thing"),
        ("x = 1", "declares no @message and no CATALOGUE"),
        ("CATALOGUE = 3", "CATALOGUE is a int, not a m43proto.Catalogue"),
        (HEAD + NEW.replace("A0 77", "10 77"), "message Blink: first nibble 1 announces no known shape"),
        (HEAD + NEW.replace("Blink", "Status"), "two messages are called Status: C1 80 and A0 77"),
        (HEAD + NEW + NEW.replace("Blink", "Blank"), "Blink and Blank both have opcode A0 77"),
    ],
)
def test_a_broken_file_or_a_conflict_is_one_clear_error(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DeclarationError, match=complaint) as refused:
        combined([path])
    assert str(refused.value).startswith(f"--catalogue {path}: ")
    run = Run(("--catalogue", path, "messages"), capsys)
    assert (run.code, run.out) == (2, "")
    assert run.err == f"m43: {refused.value}\n"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere.py", "--catalogue nowhere.py: no such file"),
        ("acme", "no catalogue is called acme; known: public, provi"),
    ],
)
def test_a_missing_catalogue_is_named(name: str, complaint: str) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        combined([name])


def test_packages_announce_catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = EntryPoints(
        [
            EntryPoint("acme", "m43proto.messages:PROVISIONAL", "m43proto.catalogues"),
            EntryPoint("broken", "no_such_module:X", "m43proto.catalogues"),
            EntryPoint("odd", "m43proto.pins:LINES", "m43proto.catalogues"),
        ]
    )
    monkeypatch.setattr("m43tools.catalogues.entry_points", lambda group: installed.select(group=group))
    assert named_catalogue("acme") is PROVISIONAL
    with pytest.raises(DeclarationError, match="--catalogue broken: no_such_module:X cannot be loaded: ModuleNotFound"):
        combined(["broken"])
    with pytest.raises(DeclarationError, match=r"--catalogue odd: m43proto\.pins:LINES is a tuple"):
        combined(["odd"])
