"""Lines of whole columns equal the lines of single events, in every form and layer."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.observing import observe_stream
from m43proto.events import ByteSeen, FragmentSeen, MessageSeen, PinEventSeen, TransactionSeen
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.pins import LINES, Role
from m43tools.render.bulk import MOST_KEPT, everything
from m43tools.render.columns import CsvWriter, JsonWriter
from m43tools.render.glyphs import UNICODE
from m43tools.render.text import TextWriter
from m43tools.sniffing import LAYERS as SHOWN
from m43tools.summary import Summary
from tests.bulk.support import stream_of, traffic
from tests.recordings import BAD_POLL, IDENTIFY, POLL, session
from tests.waveform import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import Event
    from m43tools.render.columns import Writer

CATALOGUE = PUBLIC | PROVISIONAL
LAYERS: dict[str, Any] = {
    "bytes": ByteSeen,
    "transactions": (TransactionSeen, PinEventSeen),
    "messages": (MessageSeen, PinEventSeen),
}


def text_writer(stream: io.StringIO, layer: str, width: int | None, *, colour: bool) -> Writer:
    return TextWriter(stream, layer, UNICODE, colour=colour, raw=colour, width=width, catalogue=CATALOGUE)


WRITERS: dict[str, Callable[[io.StringIO, str], Writer]] = {
    "jsonl": lambda stream, layer: JsonWriter(stream, layer, CATALOGUE),
    "csv": lambda stream, layer: CsvWriter(stream, layer, CATALOGUE),
    "text": lambda stream, layer: text_writer(stream, layer, None, colour=False),
    "terminal": lambda stream, layer: text_writer(stream, layer, 80, colour=True),
}


def stretches() -> list[Stretch]:
    far = bytearray(POLL.data)
    far[6:8] = b"\xff\xff"
    scripts = (
        BAD_POLL,
        Script(POLL.command, "C", bytes(far)),
        Script(POLL.command, "C", POLL.data, data_sum=1),
        Script(POLL.command, "C", POLL.data + b"\1\2"),
        Script(bytes.fromhex("c7010203"), "C", b"xyz"),
        Script(bytes.fromhex("a7010203"), "A"),
        Script(bytes.fromhex("c3f00000"), "C", b'%s, "quoted" and 100%'),
        Script(bytes.fromhex("c1900000"), "C", bytes.fromhex("0102fff60019")),
        Script(IDENTIFY.command, "C", bytes.fromhex("630099000000424307001b000000000000000211")),
        IDENTIFY,
    )
    found: list[Stretch] = []
    for waveform in (session(*scripts, frames=20), traffic(random.Random(3), 30)):
        stream = stream_of(waveform.changes, waveform.now_ns)
        told = observe_stream(stream, {line: line.bit for line in LINES}, CATALOGUE)
        found += [one for one in told if isinstance(one, Stretch)]
    return found


@pytest.fixture(scope="module")
def found() -> list[Stretch]:
    return stretches()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("kept", [MOST_KEPT, -1], ids=["kept", "not kept"])
def test_lines(found: list[Stretch], form: str, layer: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m43tools.render.bulk.MOST_KEPT", kept)
    bulk, single = io.StringIO(), io.StringIO()
    whole, by_event = WRITERS[form](bulk, layer), WRITERS[form](single, layer)
    for stretch in found:
        whole.write_stretch(everything(stretch))
        for event in stretch.events(CATALOGUE):
            if isinstance(event, LAYERS[layer]):
                by_event.write(event)
    assert bulk.getvalue() == single.getvalue()
    assert bulk.getvalue().count("\n") > 60


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("form", WRITERS)
def test_lines_of_events(found: list[Stretch], form: str, layer: str) -> None:
    at_once, single = io.StringIO(), io.StringIO()
    together, by_event = WRITERS[form](at_once, layer), WRITERS[form](single, layer)
    loose: list[Event] = [ByteSeen(1, 2, None, 0), ByteSeen(3, 4, Role.LENS, 255), FragmentSeen(1, 4, b"\0\xff")]
    portions: list[list[Event]] = [[], loose, *(list(stretch.events(CATALOGUE)) for stretch in found[:2])]
    for portion in portions:
        shown = [event for event in portion if isinstance(event, SHOWN[layer])]
        together.write_events(shown)
        for event in shown:
            by_event.write(event)
    assert at_once.getvalue() == single.getvalue()
    assert at_once.getvalue().count("\n") > 10


def test_figures(found: list[Stretch]) -> None:
    bulk, single = Summary(), Summary()
    for stretch in found:
        bulk.add_stretch(everything(stretch), CATALOGUE)
        for event in stretch.events(CATALOGUE):
            single.add(event)
    assert bulk == single
    assert list(bulk.messages) == list(single.messages)
    assert bulk.identities
    assert bulk.polling == single.polling
