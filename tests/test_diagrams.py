"""The diagrams of the written spec say what the tables say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from m43proto.checksum import wire_sum
from m43proto.session import TRANSITIONS, Legality
from m43proto.shapes import Shape
from m43proto.states import State, Trigger
from m43proto.turns import AFTER_COMMAND, TURNS, Phase
from m43tools.render.diagrams import same_timing, session_diagram, timing_picture, turn_diagram, words_in

ROOT = Path(__file__).parents[1]
EDGE = re.compile(r"^ +(\S+) --> ([^:\s]+)(?:: (.+))?$", re.MULTILINE)


def test_turn_diagram_has_every_step_of_the_grammar() -> None:
    drawn = {(one, then, label) for one, then, label in EDGE.findall(turn_diagram())}
    wanted = {("[*]", "command", "")}
    for phase, turn in TURNS.items():
        following = {str(shape): AFTER_COMMAND[shape] for shape in Shape} if turn.then is None else {"": turn.then}
        for label, then in following.items():
            target = "[*]" if then is Phase.IDLE else then.replace(" ", "_")
            wanted.add((phase.replace(" ", "_"), target, label))
    assert drawn == wanted
    assert all(f"{phase}<br>({turn.sender})" in turn_diagram() for phase, turn in TURNS.items())


def test_session_diagram_draws_what_is_legal_and_moves() -> None:
    drawn = set()
    for one, then, label in EDGE.findall(session_diagram()):
        for trigger in label.split(", ") if label else ():
            starts = [State(one)] if one != "any" else list(State)
            drawn |= {(state, Trigger(trigger), State(then)) for state in starts}
    legal = {
        (state, trigger, row.then)
        for (state, trigger), row in TRANSITIONS.items()
        if row.legality is Legality.LEGAL and row.then is not state
    }
    assert legal <= drawn
    # What "any state" says too much: a state that is there already, or in which the input has no place.
    assert all(
        then is state or TRANSITIONS[state, trigger].legality is Legality.ILLEGAL
        for state, trigger, then in drawn - legal
    )


@pytest.mark.parametrize(
    ("shape", "name", "said"),
    [
        (Shape.SET, "SelectLinkMode", "a0 f5 01 00 96"),
        (Shape.COMPLETE, "Initialise", "b0 f2 00 00 a2 00"),
        (Shape.READ, "LinkCapability", "c0 f6 00 00 b6 05 00 0a 10 c4 09 e7"),
        (Shape.WRITE, "BodyCapability", "60 f0 00 00 50 05 00 00 00 00 00 00"),
    ],
)
def test_timing_diagram_shows_the_transaction(shape: Shape, name: str, said: str) -> None:
    words = words_in(timing_picture(shape))
    given = bytes.fromhex(said)
    assert given[4] == wire_sum(given[:4])
    assert name in words
    assert {"CLK", "DATA", "BODY_ACK", "LENS_ACK"} <= set(words)
    written = [word for word in words if re.fullmatch(r"[0-9A-F]{2}", word)]
    # A byte that has no room for its text is drawn without it.
    assert set(written) <= set(said.upper().split())
    assert said.upper().split()[4] in written


def test_picture_is_stale_when_an_edge_moves() -> None:
    fresh = timing_picture(Shape.SET)
    digest = re.findall(r"[0-9a-f]{64}", fresh)[0]
    assert same_timing(fresh, fresh)
    assert not same_timing(fresh.replace(digest, digest[::-1]), fresh)
    assert not same_timing(fresh.replace("SelectLinkMode", "Another"), fresh)
    assert not same_timing("", fresh)


def test_mermaid_takes_the_diagrams() -> None:
    folder = os.environ.get("M43_MERMAID")
    script = Path(folder or "") / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
    if not folder or not script.exists():
        pytest.skip("M43_MERMAID does not name the folder of the npm package mermaid")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("/usr/bin/chromium is not here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(path=script)
        for text in (turn_diagram(), session_diagram()):
            drawn = page.evaluate(
                "async (text) => (await mermaid.render('d', text)).svg",
                text.removeprefix("```mermaid\n").removesuffix("```\n"),
            )
            assert "<svg" in drawn
            assert "Syntax error" not in drawn
        browser.close()
