"""The capability statement: a false declaration fails exactly the case that compares it."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.simulator.profiles import PROFILES
from m43proto.messages import PROVISIONAL, PUBLIC
from m43tools.cli import main
from m43tools.conformance.bench import SimBench
from m43tools.conformance.cases import CASES, selected
from m43tools.conformance.operations import SECOND
from m43tools.conformance.runner import Options, interviewed, run_live, run_passive
from m43tools.conformance.statement import (
    UNTOLD,
    StatementError,
    declared,
    read_statement,
    statement_of,
    statement_toml,
)
from m43tools.conformance.stimuli import Soak
from m43tools.conformance.trace import Trace
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from pathlib import Path

BOTH = PUBLIC | PROVISIONAL


@cache
def statement(profile: str) -> dict[str, dict[str, Any]]:
    recordings = interviewed(SimBench(PROFILES[profile], catalogue=BOTH))
    return statement_of(*(Trace(recording, BOTH) for recording in recordings))


def verdicts(profile: str, declares: dict[str, dict[str, Any]], *words: str) -> dict[str, tuple[Verdict, str]]:
    options = Options(statement=declares, catalogue=BOTH, brief=True, soak=Soak(SECOND // 5))
    report = run_live(SimBench(PROFILES[profile], catalogue=BOTH), selected(words), options)
    return {one.case.id: (one.verdict, one.message or one.observed) for one in report.results}


def bent(profile: str, name: str, value: Any) -> dict[str, dict[str, Any]]:
    table, key = name.split(".")
    whole = statement(profile)
    return whole | {table: whole.get(table, {}) | {key: value}}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_statement_tells_what_the_profile_is(profile: str) -> None:
    made, told = PROFILES[profile], declared(statement(profile))
    assert told["optics.zoom"] is bool(made.zoom_steps)
    assert told["stabilisation.present"] is (made.stabilisation is not None)
    assert told["optics.aperture_drive"] is told["focus.drive"] is True
    assert told["identity.firmware"] == made.firmware
    assert told["optics.narrowest_aperture_f"] > 2 * told["optics.widest_aperture_f"]
    assert told["link.lens_data_bytes"] == 2238
    assert not set(UNTOLD) & set(told)
    assert tomllib.loads(statement_toml(statement(profile))) == statement(profile)


FALSE = [
    ("olympus-45", "identity.firmware", "9.999", "IDN-010"),
    ("olympus-45", "focus.drive", False, "IDN-010"),
    ("olympus-45", "optics.aperture_drive", False, "IDN-010"),
    ("olympus-45", "optics.narrowest_aperture_f", 11.0, "IDN-011"),
    ("olympus-45", "optics.zoom", True, "IDN-012"),
    ("olympus-14-42", "optics.zoom", False, "IDN-012"),
    ("olympus-14-42", "stabilisation.present", True, "IDN-013"),
    ("olympus-12-100-is", "stabilisation.present", False, "IDN-013"),
    ("olympus-45", "link.lens_data_bytes", 100, "IDN-014"),
]


@pytest.mark.parametrize(("profile", "name", "value", "case"), FALSE)
def test_a_false_declaration_fails_exactly_the_case_that_compares_it(
    profile: str, name: str, value: Any, case: str
) -> None:
    """The whole suite runs where a stabiliser is declared that is not there; elsewhere what could be carried away."""
    whole = name == "stabilisation.present" and value
    found = verdicts(
        profile, bent(profile, name, value), *(() if whole else ("identity", "FRM-00*", "DRV-004", "RNG-003", "STB-*"))
    )
    good = (Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.INFO)
    assert {one: told[0] for one, told in found.items() if told[0] not in good} == {case: Verdict.FAIL}
    assert f"declared {value!r}" in found[case][1]


@pytest.mark.parametrize("profile", ["olympus-45", "olympus-12-100-is"])
def test_a_true_statement_is_kept(profile: str) -> None:
    found = verdicts(profile, statement(profile), "statement")
    assert {one: told[0] for one, told in found.items() if told[0] is not Verdict.PASS} == {
        "IDN-015": Verdict.NOT_APPLICABLE
    }


@pytest.mark.parametrize(
    ("name", "gated"),
    [
        ("optics.aperture_drive", {"DRV-001", "RNG-004"}),
        ("focus.drive", {"DRV-007", "DRV-019"}),
        ("optics.zoom", {"RNG-003", "RNG-005"}),
        ("stabilisation.present", {"STB-001", "STB-003"}),
    ],
)
def test_what_is_declared_absent_is_not_tested_and_says_why(name: str, gated: set[str]) -> None:
    found = verdicts("olympus-12-100-is", bent("olympus-12-100-is", name, False), *gated)
    assert set(found) == gated
    assert set(found.values()) == {(Verdict.NOT_APPLICABLE, f"the statement declares {name} = false")}


def test_what_no_message_tells_is_said_plainly() -> None:
    found = verdicts("panasonic-pz-14-42", {"optics": {"power_zoom": True}, "focus": {"motor": "linear"}}, "statement")
    verdict, text = found["IDN-015"]
    assert verdict is Verdict.INFO
    assert text == "; ".join(
        [
            "optics.power_zoom True cannot be checked: no message that is known tells whether a motor zooms",
            "focus.motor 'linear' cannot be checked: no message that is known tells the kind of the focus motor",
        ]
    )
    assert {told[0] for one, told in found.items() if one != "IDN-015"} == {Verdict.NOT_APPLICABLE}


def test_a_stabiliser_cannot_be_checked_without_the_placeholders() -> None:
    options = Options(statement={"stabilisation": {"present": True}}, brief=True)
    live = run_live(SimBench(PROFILES["olympus-12-100-is"]), [CASES["IDN-013"]], options)
    recording = SimBench(PROFILES["olympus-12-100-is"]).run([])
    for report in (live, run_passive(recording, [CASES["IDN-013"]], options)):
        (told,) = report.results
        assert told.verdict is Verdict.INCONCLUSIVE
        assert told.message.startswith("stabilisation.present cannot be checked: the provisional catalogue is not")


def test_what_a_capture_does_not_tell_is_no_pass() -> None:
    recording = interviewed(SimBench(PROFILES["olympus-45"]))[2]
    options = Options(statement={"focus": {"far": 400}, "link": {"lens_data_bytes": 2238}})
    found = run_passive(recording, selected(["IDN-010", "IDN-014"]), options).results
    assert [one.verdict for one in found] == [Verdict.INCONCLUSIVE, Verdict.PASS]
    assert found[0].observed == "not told here: focus.far"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[optics]\nzoom = 1\n", "[optics] zoom is 1; write a value of kind bool"),
        ("[stabilisation]\nmodes = 2\n", "[stabilisation] has no key modes; keys: present"),
        ("[lens]\n", "there is no table [lens]; tables: identity, link, optics, focus, stabilisation"),
    ],
)
def test_a_statement_that_is_wrong_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "lens.toml"
    path.write_text(text)
    with pytest.raises(StatementError) as raised:
        read_statement(path)
    assert complaint in str(raised.value)


def test_the_command_asks_for_the_stabiliser_only_with_the_placeholders(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["conform", "statement", "--lens", "sim:olympus-12-100-is"]
    assert main(words) == 0
    assert "stabilisation" not in tomllib.loads(capsys.readouterr().out)
    assert main(["--catalogue", "provisional", *words]) == 0
    assert tomllib.loads(capsys.readouterr().out)["stabilisation"] == {"present": True}
