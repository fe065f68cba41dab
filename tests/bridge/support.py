"""What the tests of the bridge share: every message of the link with drawn values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from m43drivers.bridge.protocol import KINDS, LinkMessage, fields_of
from m43drivers.transport import Break, Report
from m43proto.shapes import Shape

_U32 = st.integers(0, 2**32 - 1)
_U64 = st.integers(0, 2**64 - 1)
_SHORT_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_BLOCKS = st.one_of(st.binary(max_size=40), st.binary(min_size=250, max_size=520), st.just(bytes(300)))

_DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "version": st.integers(0, 255),
    "name": _SHORT_TEXT,
    "firmware": _SHORT_TEXT,
    "text": _SHORT_TEXT,
    "command": st.binary(min_size=4, max_size=4),
    "poll": st.binary(min_size=4, max_size=4),
    "shape": st.sampled_from(Shape),
    "block": _BLOCKS,
    "said": _BLOCKS,
    "broke_off": st.sampled_from([None, *Break]),
    "report": st.sampled_from(Report),
    "on": st.booleans(),
    "woke": st.booleans(),
    "code": st.integers(0, 255),
    "shutter_us": st.integers(0, 0xFFFF),
    "lead_us": st.integers(0, 0xFFFF),
    "hands": st.integers(0, 255),
    "levels": st.integers(0, 255),
    "program": _BLOCKS,
    "coded": _BLOCKS,
    "done": st.booleans(),
    "t": _U64,
    "start": _U64,
    "end": _U64,
    "t_us": _U64,
    "start_us": _U64,
    "end_us": _U64,
}


def drawn(kind: type[LinkMessage]) -> st.SearchStrategy[LinkMessage]:
    """Return messages of a kind."""
    return st.builds(kind, **{name: _DRAWN.get(name, _U32) for name in fields_of(kind)})


MESSAGES: st.SearchStrategy[LinkMessage] = st.one_of(*(drawn(kind) for kind in KINDS.values()))

GARBAGE = st.binary(max_size=30)
