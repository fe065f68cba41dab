"""SUMP analysers and sigrok-pico boards at real pseudo terminals, as their user has them: some of them broken."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from m43drivers.analyser import AnalyserError, NoticeKind, open_analyser
from tests.analyser.models import Pico, Plugged, Sump
from tests.analyser.support import expanded
from tests.transports.support import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43drivers.analyser import Item, LiveStream

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    before = descriptors(), threading.active_count()
    yield
    assert (descriptors(), threading.active_count()) == before


@pytest.fixture(autouse=True)
def _settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sumpport", "picoport"):
        monkeypatch.setattr(f"m43drivers.analyser.{name}.SETTLE_S", 0.05)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For devices that do not answer."""
    for name in ("sumpport.ANSWER_S", "sumpport.SILENCE_S", "picoport.ANSWER_S"):
        monkeypatch.setattr(f"m43drivers.analyser.{name}", 0.15)


def taken(live: LiveStream, enough: Callable[[list[Item]], bool]) -> list[Item]:
    """Return what comes until there is enough of it, and what stopping brings."""
    items: list[Item] = []
    for item in live.items():
        items.append(item)
        if enough(items):
            live.stop()
    return items


def ticks_known(items: list[Item]) -> list[int]:
    return [level for level in expanded(items)[0] if level >= 0]


# SUMP


@pytest.mark.parametrize(("query", "channels"), [("", None), ("?rle=0", 8), ("?rle=0&trigger=0:1", 2)])
def test_sump_buffers_follow_each_other_with_their_gaps(query: str, channels: int | None) -> None:
    model = Sump()
    with Plugged(model) as path, open_analyser(f"sump:{path}{query}", channels=channels) as live:
        items = taken(live, lambda so_far: len(so_far) >= 5)
    levels, notices = expanded(items)
    mask = (1 << (channels or 7)) - 1
    told = [sample & mask for buffer in model.buffers[: len(notices) + 1] for sample in buffer]
    assert ticks_known(items) == told
    assert {notice.kind for notice in notices} == {NoticeKind.GAP}
    assert all(notice.until is not None and notice.until > notice.tick and not notice.exact for notice in notices)
    assert levels.count(-1) == sum((notice.until or 0) - notice.tick for notice in notices)
    assert model.commands[0x80] == 9
    assert (model.commands[0xC0], model.commands[0xC1]) == ((1, 1) if "trigger" in query else (0, 0))


def test_sump_garbage_before_the_answer_and_a_reset_that_is_not_heard() -> None:
    model = Sump(before=b"\x00\xffnoise", deaf_resets=1)
    with Plugged(model) as path, open_analyser(f"sump:{path}") as live:
        items = taken(live, lambda so_far: True)
    assert ticks_known(items)[: len(model.buffers[0])] == model.buffers[0]
    assert live.capture.provenance.details["model"] == "model"


@pytest.mark.parametrize(("identity", "found"), [(b"", "nothing"), (b"OK\r\n", "4f 4b 0d 0a")])
@pytest.mark.usefixtures("_impatient")
def test_sump_refuses_what_is_none(identity: bytes, found: str) -> None:
    with Plugged(Sump(identity=identity)) as path, pytest.raises(AnalyserError) as caught:
        open_analyser(f"sump:{path}")
    expected = f"sump:{path}: expected a SUMP analyser (1ALS or 1SLO), found {found}; is it the right port?"
    assert str(caught.value) == expected


@pytest.mark.usefixtures("_impatient")
def test_sump_a_buffer_that_breaks_off_is_told_and_its_newest_part_kept() -> None:
    model = Sump(cut={1: 21})
    with Plugged(model) as path, open_analyser(f"sump:{path}?rle=0", channels=8) as live:
        items = taken(live, lambda so_far: len(so_far) >= 6)
    levels, notices = expanded(items)
    assert [notice.kind for notice in notices][:3] == [NoticeKind.DAMAGE, NoticeKind.GAP, NoticeKind.GAP]
    assert notices[0].text == "a buffer broke off: 21 of 64 bytes came"
    told = [level for level in levels if level >= 0]
    wanted = model.buffers[0] + model.buffers[1][-21:] + model.buffers[2]
    assert told[: len(wanted)] == wanted


@pytest.mark.usefixtures("_impatient")
def test_sump_that_does_not_answer_any_more() -> None:
    with Plugged(Sump(silent_from=1)) as path, open_analyser(f"sump:{path}") as live:
        items = list(live.items())
    notice = expanded(items)[1][-1]
    assert (notice.kind, notice.until) == (NoticeKind.LOST, None)
    assert notice.text == "it does not answer any more; plug it out and in again"


@pytest.mark.usefixtures("_impatient")
def test_sump_that_waits_for_its_trigger_is_not_lost_and_stops() -> None:
    with Plugged(Sump(silent_from=0)) as path, open_analyser(f"sump:{path}?trigger=0:1") as live:
        time.sleep(0.5)
        live.stop()
        assert list(live.items()) == []
        assert live.close()


def test_sump_unplugged() -> None:
    with Plugged(Sump(unplug_at=1)) as path, open_analyser(f"sump:{path}") as live:
        items = list(live.items())
    notice = expanded(items)[1][-1]
    assert notice.kind is NoticeKind.LOST
    assert notice.text.startswith("the port is gone (")


# sigrok-pico

SAMPLES = [0] * 500 + [1, 2, 3] * 40 + [0x7F] * 2000


@pytest.mark.parametrize(("channels", "mask"), [(None, 0x7F), (4, 0xF), (16, 0x7F)])
def test_pico_streams(channels: int | None, mask: int) -> None:
    samples = [sample & mask for sample in SAMPLES]
    model = Pico([samples, samples])
    with Plugged(model) as path, open_analyser(f"pico:{path}", channels=channels, rate_hz=Fraction(1_000_000)) as live:
        labels = live.capture.labels
        items = taken(live, lambda so_far: len(ticks_known(so_far)) >= 2 * len(samples))
    assert expanded(items) == (samples * 2, [])
    assert [label.name for label in labels] == [f"D{2 + bit}" for bit in range(channels or 7)]
    assert model.orders[1] == b"R1000000"
    assert model.orders[-2:] == [b"D%d20" % (channels == 21), b"C"]


def test_pico_whose_count_is_wrong() -> None:
    with Plugged(Pico([SAMPLES], miscount=2)) as path, open_analyser(f"pico:{path}") as live:
        items = taken(live, lambda so_far: len(ticks_known(so_far)) >= len(SAMPLES))
    levels, (notice,) = expanded(items)
    assert levels == SAMPLES
    assert (notice.kind, notice.tick, notice.until) == (NoticeKind.DAMAGE, len(SAMPLES), len(SAMPLES))
    assert notice.text.endswith(" came")


@pytest.mark.parametrize(
    ("mark", "kind", "text"),
    [
        (b"!!!", NoticeKind.OVERFLOW, "the board ran over; a lower rate may help"),
        (b"\r\n", NoticeKind.DAMAGE, "the board sent what is no sample"),
    ],
)
def test_pico_that_overflows_is_started_again(mark: bytes, kind: NoticeKind, text: str) -> None:
    model = Pico([SAMPLES, mark], [[5, 5, 6]])
    with Plugged(model) as path, open_analyser(f"pico:{path}") as live:
        items = taken(live, lambda so_far: len(ticks_known(so_far)) >= len(SAMPLES) + 3)
    levels, (notice,) = expanded(items)
    assert (notice.kind, notice.tick, notice.exact, notice.text) == (kind, len(SAMPLES), False, text)
    assert notice.until is not None
    assert levels[: len(SAMPLES)] == SAMPLES
    assert levels[notice.until :] == [5, 5, 6]
    assert model.starts == 2


def test_pico_unplugged() -> None:
    with Plugged(Pico([SAMPLES], unplug_after=1)) as path, open_analyser(f"pico:{path}") as live:
        items = list(live.items())
    levels, (notice,) = expanded(items)
    assert (levels, notice.kind, notice.tick) == (SAMPLES, NoticeKind.LOST, len(SAMPLES))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Pico(identity=b""), "expected a board with sigrok-pico (SRPICO,...), found nothing; is it the right port?"),
        (Pico(identity=b"SRPI"), "expected a board with sigrok-pico (SRPICO,...), found 'SRPI'; is it the right port?"),
        (Pico(refuses=b"R"), "the board does not take 4e+06 Hz (R4000000); it answered nothing"),
        (Pico(identity=b"SRPICO,A031D05,00"), "expected 1 to 5 channels, found 6"),
    ],
)
@pytest.mark.usefixtures("_impatient")
def test_pico_refused(model: Pico, text: str) -> None:
    with Plugged(model) as path, pytest.raises(AnalyserError) as caught:
        open_analyser(f"pico:{path}", channels=6)
    assert str(caught.value) == f"pico:{path}: {text}"


def test_pico_behind_garbage() -> None:
    with Plugged(Pico([SAMPLES], before=b"!!!$77+")) as path, open_analyser(f"pico:{path}") as live:
        assert ticks_known(taken(live, lambda so_far: len(ticks_known(so_far)) >= len(SAMPLES))) == SAMPLES


# both


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("sump:", "sump: expected sump:PORT; m43 analysers lists the ports"),
        ("pico", "pico: expected pico:PORT; m43 analysers lists the ports"),
        ("sump:/dev/no-such", "/dev/no-such: there is no such port; m43 ports lists those there are"),
        ("sump:/dev/x?speed=3", "sump:/dev/x: no option is called speed; baud, rle, trigger"),
        ("sump:/dev/x?speed", "sump:/dev/x?speed: expected ?KEY=VALUE&KEY=VALUE behind the address, found 'speed'"),
        ("sump:/dev/x?baud=fast", "sump:/dev/x: expected a number for baud, found 'fast'"),
    ],
)
def test_sources_that_are_wrong(source: str, text: str) -> None:
    with pytest.raises(AnalyserError) as caught:
        open_analyser(source)
    assert str(caught.value) == text


def test_unknown_sources_name_the_known() -> None:
    with pytest.raises(
        AnalyserError, match=r"^usb:1: no such source; write fx2lafw\[:SERIAL\], an FX2 analyser; sump:PORT"
    ):
        open_analyser("usb:1")
