"""Pins, shapes, turns, evidence, events and lenses as data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from m43proto.errors import DeclarationError
from m43proto.events import Cause, PinEvent
from m43proto.evidence import SOURCES, Evidence, cited_sources
from m43proto.lensdb import MOUNTS, find_lens, lenses, search_lenses
from m43proto.messages import Identify
from m43proto.pins import LINES, PINS, Line, Role
from m43proto.shapes import SHAPES, Shape
from m43proto.turns import AFTER_COMMAND, TURNS, Phase

SPECS = Path(__file__).parents[1] / "specs"


def test_every_line_has_one_pin_and_one_bit() -> None:
    assert [pin.line for pin in PINS] == list(LINES) == list(Line)
    assert [line.mask for line in LINES] == [1 << bit for bit in range(len(LINES))]
    assert all(cited_sources(pin.source) for pin in PINS)


def test_every_shape_has_a_row_and_a_phase_behind_the_command() -> None:
    assert set(SHAPES) == set(Shape) == set(AFTER_COMMAND)
    assert len({row.nibble for row in SHAPES.values()}) == len(SHAPES)
    assert all(cited_sources(row.source) for row in SHAPES.values())


def test_the_turns_agree_with_the_shapes() -> None:
    for shape, row in SHAPES.items():
        phases = list(_phases(AFTER_COMMAND[shape]))
        senders = {TURNS[phase].sender for phase in phases if TURNS[phase].size is None}
        assert senders == ({row.block_sender} if row.block_sender else set())
        assert (Phase.STATUS in phases) == row.has_status
        assert not phases or TURNS[phases[-1]].sender is Role.LENS


def _phases(phase: Phase) -> list[Phase]:
    phases: list[Phase] = []
    while phase is not Phase.IDLE:
        phases.append(phase)
        following = TURNS[phase].then
        assert following is not None
        phase = following
    return phases


def test_every_level_and_cause_explains_itself() -> None:
    assert len({level.mark for level in Evidence}) == len(Evidence)
    assert all(level.meaning.endswith(".") for level in Evidence)
    assert all(cause.meaning.endswith(".") for cause in Cause)
    assert len(set(PinEvent)) == len(PinEvent)


def test_a_citation_of_an_unknown_source_is_refused() -> None:
    assert [source.key for source in cited_sources("BELL@bb20aad, SIM")] == ["BELL", "SIM"]
    with pytest.raises(DeclarationError, match="no source is called 'RUMOUR'"):
        cited_sources("BELL, RUMOUR")


def test_the_sources_have_the_numbers_of_the_written_references() -> None:
    written = re.findall(r"^## \[(\d+)\] (\S+)", (SPECS / "references.md").read_text(encoding="utf-8"), re.MULTILINE)
    numbers = {key: int(number) for number, key in written}
    assert {key: source.number for key, source in SOURCES.items()}.items() <= numbers.items()


def test_lens_identities_are_unique_and_plausible() -> None:
    rows = lenses()
    assert len(rows) == 141
    assert len({(lens.maker, lens.model, lens.submodel) for lens in rows}) == len(rows)
    for lens in rows:
        assert lens.model.isdecimal()
        assert lens.submodel.isdecimal()
        assert lens.mount in MOUNTS
        assert lens.focal_min_mm <= lens.focal_max_mm
        assert 0.9 < lens.aperture_wide_f <= lens.aperture_tele_f
        assert cited_sources(lens.source)


def test_a_lens_is_found_by_what_identify_decodes() -> None:
    identity = Identify.parse(bytes.fromhex("0000 00000110000041414132343338343100000001 11"))
    lens = find_lens(identity.maker, identity.model, identity.submodel)
    assert lens is not None
    assert lens.name == "Olympus M.Zuiko Digital ED 14-42mm F3.5-5.6"
    assert (lens.id_text, lens.id_bytes) == ("0 01 10", identity.block[:4])
    assert lens.evidence is Evidence.CONFIRMED
    assert find_lens(0, "99", "99") is None


def test_lenses_are_searched_by_all_words() -> None:
    assert len(search_lenses(())) == len(lenses())
    found = search_lenses(("PANASONIC", "pz"))
    assert [lens.id_text for lens in found] == ["2 13 10", "2 14 10"]
    assert [lens.name for lens in search_lenses(("00 00 01 10",))] == ["Olympus M.Zuiko Digital ED 14-42mm F3.5-5.6"]
    assert search_lenses(("nonsense",)) == ()
    assert all(lens.stabilised for lens in search_lenses(("power ois",)))
