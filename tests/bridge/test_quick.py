"""The quick layouts of the link's messages: the same bytes and values as construct's, or none."""

from __future__ import annotations

from typing import Any

import construct
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m43drivers.bridge.protocol import (
    KINDS,
    Counters,
    CountersAnswer,
    Done,
    Heartbeat,
    HelloAnswer,
    LinkMessage,
    Polled,
    Refusal,
    StartFrames,
    Transact,
    fields_of,
)
from m43drivers.bridge.quick import QuickLayout, quick_layout
from tests.bridge.support import MESSAGES

LAYOUTS = {kind: {name: part.layout for name, part in fields_of(kind).items()} for kind in KINDS.values()}
SLOW = {
    kind: construct.Struct(*(name / layout for name, layout in layouts.items()), construct.Terminated)
    for kind, layouts in LAYOUTS.items()
}
QUICK = {kind: layout for kind in KINDS.values() if (layout := quick_layout(LAYOUTS[kind])) is not None}


def values_of(message: LinkMessage) -> dict[str, Any]:
    return {name: getattr(message, name) for name in LAYOUTS[type(message)]}


def test_the_messages_that_come_often_are_quick() -> None:
    assert {Transact, Done, Polled, Heartbeat, Counters, CountersAnswer, StartFrames} <= set(QUICK)
    assert not {HelloAnswer, Refusal} & set(QUICK)


@given(message=MESSAGES)
def test_quick_and_slow_agree(message: LinkMessage) -> None:
    quick, slow = QUICK.get(type(message)), SLOW[type(message)]
    if quick is None:
        return
    values = values_of(message)
    payload = slow.build(values)
    assert quick.build(values) == payload
    assert quick.parse(payload) == values


@given(kind=st.sampled_from(sorted(QUICK, key=lambda kind: kind.kind)), payload=st.binary(max_size=40))
def test_any_payload_is_parsed_alike_or_left_to_construct(kind: type[LinkMessage], payload: bytes) -> None:
    quick = QUICK[kind].parse(payload)
    try:
        slow = SLOW[kind].parse(payload)
    except construct.ConstructError:
        assert quick is None
    else:
        assert quick == {name: slow[name] for name in LAYOUTS[kind]}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Transact, {"command": b"\1\2\3"}),
        (Transact, {"command": b"\1\2\3\4\5"}),
        (Transact, {"command": 4}),
        (Transact, {"shape": "sideways"}),
        (Transact, {"shape": []}),
        (Transact, {"block": bytes(0x10000)}),
        (Transact, {"block": None}),
        (StartFrames, {"period_us": 2**32}),
        (StartFrames, {"lead_us": -1}),
        (StartFrames, {"shutter_us": 0.5}),
    ],
)
def test_what_does_not_fit_is_left_to_construct(kind: type[LinkMessage], wrong: dict[str, Any]) -> None:
    all_good: dict[type[LinkMessage], dict[str, Any]] = {
        Transact: {"command": b"\1\2\3\4", "shape": "read", "block": b""},
        StartFrames: {"period_us": 1, "shutter_us": 1, "lead_us": 1, "report": "all", "poll": b"\1\2\3\4"},
    }
    good = all_good[kind]
    layout = QUICK[kind]
    assert isinstance(layout, QuickLayout)
    assert layout.build(good) is not None
    assert layout.build(good | wrong) is None
