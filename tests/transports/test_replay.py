"""A recorded exchange answers as the lens did, and says clearly where it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from m43drivers.body import open_lens
from m43drivers.body.errors import LensError, LensFailedError
from m43drivers.transport import (
    Abilities,
    Frames,
    Lost,
    Outcome,
    Polled,
    Report,
    Transport,
    TransportError,
    TransportLostError,
    TransportTimeoutError,
)
from m43drivers.transports import open_transport
from m43drivers.transports.recorded import is_exchange, read_exchange
from m43drivers.transports.recording import RecordingTransport
from m43drivers.transports.replay import ReplayTransport
from m43proto.exchange import transfers_of
from m43proto.messages import PUBLIC, Drive, EnableDrive, Identify, Initialise, Status
from m43proto.shapes import Shape
from tests.virtualtime import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from m43drivers.body import LensStatus
    from m43drivers.transport import Sign

LENS = "sim:olympus-14-42"
IDENTIFY = tuple(transfers_of(Identify.request(), Shape.READ))
POLL = tuple(transfers_of(Status.request(), Shape.READ))


# sessions of a driver


async def session(url: str, record: Path | None = None, *, pause_s: float = 0.0) -> list[Any]:
    """Drive a lens about, and return all that came of it; times left out, for a caller may be late."""
    async with open_lens(url, record=None if record is None else str(record)) as lens:
        told: list[Any] = [lens.identity, lens.capabilities]
        asks: tuple[Callable[[], Awaitable[LensStatus | None]], ...] = (
            lambda: lens.set_aperture(5.6),
            lambda: lens.focus_to(120),
            lambda: lens.focus_to(distance_m=1.5),
            lambda: lens.focus_by(-1000),
            lambda: lens.set_aperture(2.0, clamp=True),
            lens.focus_infinity,
            lens.status_now,
        )
        for ask in asks:
            await asyncio.sleep(pause_s)
            try:
                status = await ask()
            except LensError as error:
                told.append((type(error), str(error)))
            else:
                assert status is not None
                told.append(status.message)
        count = 0
        async for status in lens.statuses():
            told.append(status.message)
            count += 1
            if count == 5:
                break
        told.append({cause: count for cause, count in lens.driver.counters.items() if cause != "polls"})
        return told


@pytest.mark.parametrize(
    "url", [LENS, f"{LENS}?fault=wrong_data_sum@7", "sim:panasonic-20?fault=aperture_stuck", f"{LENS}?pins=1"]
)
@pytest.mark.parametrize("options", ["", "?fast=1"])
def test_a_session_comes_back_as_it_was(tmp_path: Path, url: str, options: str) -> None:
    path = tmp_path / "session.jsonl"
    recorded = run(session(url, path))
    assert run(session(f"replay:{path}{options}")) == recorded


@pytest.mark.parametrize("pause_s", [0.001, 0.3, 40.0])
def test_a_slower_caller_gets_the_same(tmp_path: Path, pause_s: float) -> None:
    path = tmp_path / "session.jsonl"
    recorded = run(session(LENS, path))
    assert run(session(f"replay:{path}", pause_s=pause_s)) == recorded


def test_a_quicker_caller_waits_for_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"

    async def timed(url: str, record: Path | None, pause_s: float) -> tuple[list[Any], float]:
        start_s = asyncio.get_running_loop().time()
        return await session(url, record, pause_s=pause_s), asyncio.get_running_loop().time() - start_s

    recorded, recorded_s = run(timed(LENS, path, 1.0))
    replayed, replayed_s = run(timed(f"replay:{path}", None, 0.0))
    assert replayed == recorded
    assert replayed_s == pytest.approx(recorded_s, abs=1.0)
    fast, fast_s = run(timed(f"replay:{path}?fast=1", None, 0.0))
    assert fast == recorded
    assert fast_s < 0.1


def test_a_recording_of_a_replay_is_the_recording(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    run(session(LENS, first))
    run(session(f"replay:{first}", second))
    assert second.read_text().splitlines()[1:] == first.read_text().splitlines()[1:]


def test_a_session_that_ends_early_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    run(session(LENS, path))

    async def early() -> str:
        async with open_lens(f"replay:{path}") as lens:
            return str(lens.identity)

    start: list[float] = []

    async def timed() -> str:
        start.append(asyncio.get_running_loop().time())
        identity = await early()
        start.append(asyncio.get_running_loop().time())
        return identity

    assert "AAA243841" in run(timed())
    assert start[1] - start[0] < 1.0


def test_a_driver_that_asks_something_else_is_told_the_line(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    run(session(LENS, path))

    async def other() -> None:
        async with open_lens(f"replay:{path}") as lens:
            await lens.focus_to(121)

    with pytest.raises(LensFailedError) as failed:
        run(other())
    cause = failed.value.__cause__
    assert type(cause) is TransportError
    line = next(
        number for number, text in enumerate(path.read_text().splitlines(), 1) if '"command": "6080fe02"' in text
    )
    assert str(cause).startswith(f"{path}: line {line} has the command 60 80 fe 02 with 01 f9 04")
    assert "but asked was the command 60 80 03 fe with 01 00 00 00 00 79" in str(cause)
    assert "\n" not in str(cause)


def test_another_dialect_is_told_the_line(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    run(session(LENS, path))

    async def other() -> None:
        async with open_lens(f"replay:{path}", dialect="E-P1"):
            pass

    with pytest.raises(LensError, match=r"line 7 has the command 60 f0 00 00 with 00 00 00 00, but asked was"):
        run(other())


def test_a_recording_that_was_cut_ends_in_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    run(session(LENS, path))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:20]))
    with pytest.raises(LensFailedError, match="the recording ends with line 20") as failed:
        run(session(f"replay:{path}"))
    assert type(failed.value.__cause__) is TransportLostError


def test_every_place_to_cut_a_recording_ends_in_an_error_or_in_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    recorded = run(session(LENS, path))
    lines = path.read_text().splitlines(keepends=True)
    outcomes, texts = set(), set()
    for cut in range(1, len(lines), 3):
        path.write_text("".join(lines[:cut]))
        try:
            told = run(session(f"replay:{path}"))
        except (TransportLostError, LensError) as error:
            outcomes.add(type(error))
            texts.add(str(error).rpartition(": ")[2])
        else:
            true = [value for value in told if not isinstance(value, tuple)]
            assert all(value in recorded for value in true[:-1])
    assert outcomes
    assert all(text.startswith("the recording ends with line ") for text in texts), texts


# what may be asked out of order


async def opened(transport: Transport) -> list[Sign]:
    told: list[Sign] = []
    transport.tell = told.append
    await transport.open()
    await transport.power(on=True)
    return told


def test_a_status_may_be_asked_for_at_any_time(tmp_path: Path) -> None:
    async def record() -> Outcome:
        transport = open_transport(LENS, record=str(tmp_path / "exchange.jsonl"))
        await opened(transport)
        outcome = await transport.transact(POLL)
        await transport.transact(IDENTIFY)
        await transport.close()
        return outcome

    async def replay() -> None:
        transport = ReplayTransport(str(tmp_path / "exchange.jsonl"))
        await opened(transport)
        first = await transport.transact(POLL)
        again = await transport.transact(POLL)
        assert first.said == again.said == recorded.said
        assert first.end_ns <= again.start_ns < again.end_ns
        assert (await transport.transact(IDENTIFY)).said[:1] == b"\xba"
        await transport.close()

    async def pass_over() -> None:
        transport = ReplayTransport(str(tmp_path / "exchange.jsonl"))
        await opened(transport)
        assert (await transport.transact(IDENTIFY)).said[:1] == b"\xba"
        await transport.close()

    recorded = run(record())
    run(replay())
    run(pass_over())


def test_a_status_that_was_never_recorded_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"

    async def record() -> None:
        transport = open_transport(LENS, record=str(path))
        await opened(transport)
        await transport.transact(IDENTIFY)
        await transport.close()

    async def replay(identify: bool) -> None:
        transport = ReplayTransport(str(path))
        await opened(transport)
        if identify:
            await transport.transact(IDENTIFY)
            await transport.power(on=False)
        await transport.transact(POLL)

    run(record())
    with pytest.raises(
        TransportError, match="line 3 has the command c1 f9 00 00, but asked was the command c1 80 01 06"
    ):
        run(replay(identify=False))
    with pytest.raises(TransportLostError, match="the recording ends with line 3, without a status"):
        run(replay(identify=True))


def test_polls_with_another_command_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"

    async def poll(transport: Transport, command: bytes) -> None:
        await opened(transport)
        await transport.start_frames(Frames(60, command))
        await asyncio.sleep(0.1)
        await transport.close()

    run(poll(open_transport(LENS, record=str(path)), Status.request()))
    with pytest.raises(TransportError, match="line 3 has polls with c1 80 01 06, but asked was polls with c1 80 01 02"):
        run(poll(ReplayTransport(str(path)), bytes.fromhex("c1800102")))


def test_waking_is_refused_where_it_was_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"

    async def wake_twice(transport: Transport, times: int) -> None:
        await opened(transport)
        for _ in range(times - 1):
            await transport.power(on=True)
        await transport.transact(IDENTIFY)
        await transport.close()

    run(wake_twice(open_transport(LENS, record=str(path)), 1))
    with pytest.raises(TransportError, match="line 3 has the command c1 f9 00 00, but asked was SLEEP to be raised"):
        run(wake_twice(ReplayTransport(str(path)), 2))


def test_closing_ends_a_call_that_waits_for_its_place(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"

    async def record() -> None:
        transport = open_transport(LENS, record=str(path))
        await opened(transport)
        await transport.start_frames(Frames(60, Status.request()))
        await asyncio.sleep(5)
        await transport.transact(IDENTIFY)
        await transport.close()

    async def replay() -> None:
        transport = ReplayTransport(str(path))
        await opened(transport)
        await transport.start_frames(Frames(60, Status.request()))
        waiting = asyncio.create_task(transport.transact(IDENTIFY))
        await asyncio.sleep(1)
        assert not waiting.done()
        await transport.close()
        with pytest.raises(TransportLostError, match="is not open"):
            await waiting

    run(record())
    run(replay())


def test_polling_behind_the_end_is_a_loss_after_a_second(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"

    async def poll(transport: Transport, seconds: float) -> list[Sign]:
        told = await opened(transport)
        await transport.start_frames(Frames(60, Status.request()))
        await asyncio.sleep(seconds)
        with contextlib.suppress(TransportLostError):
            await transport.stop_frames()
            await transport.power(on=False)
        await transport.close()
        return told

    recorded = run(poll(open_transport(LENS, record=str(path)), 2.0))
    assert run(poll(ReplayTransport(str(path)), 2.9)) == recorded
    told = run(poll(ReplayTransport(str(path)), 3.1))
    assert told[:-1] == recorded
    assert isinstance(told[-1], Lost)
    assert str(told[-1].error) == f"{path}: the recording ends with line {len(path.read_text().splitlines())}"


# what a recorder keeps


class Broken(Transport):
    """A transport whose calls fail in the ways they may, one after the other."""

    def __init__(self, errors: list[TransportError]) -> None:
        super().__init__("broken:")
        self.errors = errors

    def now_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    async def open(self) -> Abilities:
        return Abilities("broken")

    async def power(self, *, on: bool) -> bool:
        raise self.errors.pop(0)

    async def transact(self, transfers: object) -> Outcome:
        await asyncio.sleep(0.25)
        raise self.errors.pop(0)

    async def start_frames(self, frames: Frames) -> None: ...

    async def stop_frames(self) -> None: ...

    async def close(self) -> None: ...

    def abort(self) -> None: ...


def test_calls_that_failed_fail_again(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"
    errors = [
        TransportError("not with this lens"),
        TransportTimeoutError("no answer within 2 s"),
        TransportLostError("unplugged"),
    ]

    async def scenario(transport: Transport) -> list[tuple[type[Exception], str, float]]:
        await transport.open()
        found: list[tuple[type[Exception], str, float]] = []
        loop = asyncio.get_running_loop()
        for call in (
            lambda: transport.power(on=True),
            lambda: transport.transact(IDENTIFY),
            lambda: transport.transact(IDENTIFY),
        ):
            start_s = loop.time()
            with pytest.raises(TransportError) as error:
                await call()
            found.append((type(error.value), str(error.value), round(loop.time() - start_s, 6)))
        await transport.close()
        return found

    recorded = run(scenario(RecordingTransport(Broken(list(errors)), path)))
    assert [kind for kind, _, _ in recorded] == [TransportError, TransportTimeoutError, TransportLostError]
    assert run(scenario(ReplayTransport(str(path)))) == recorded


def test_a_transaction_that_nobody_waits_for_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"

    async def record() -> None:
        transport = open_transport(LENS, record=str(path))
        await opened(transport)
        initialise = tuple(transfers_of(Initialise.request(), Shape.COMPLETE))
        cut = asyncio.create_task(transport.transact(initialise))
        await asyncio.sleep(0.1)
        cut.cancel()
        await asyncio.wait([cut])
        await transport.transact(IDENTIFY)
        await transport.close()

    run(record())
    said = [row["said"][:4] for row in map(json.loads, path.read_text().splitlines()) if row.get("do") == "transact"]
    assert said == ["a200", "ba15"]


def test_an_empty_block_has_no_data(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"

    async def record() -> None:
        transport = open_transport(LENS, record=str(path))
        await opened(transport)
        await transport.transact(tuple(transfers_of(bytes.fromhex("60f00000"), Shape.WRITE)))
        await transport.close()

    run(record())
    assert [row["data"] for row in map(json.loads, path.read_text().splitlines()) if row.get("do") == "transact"] == [
        ""
    ]


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    async def record() -> None:
        await open_transport(LENS, record=str(tmp_path / "no" / "exchange.jsonl")).open()

    with pytest.raises(TransportError, match=r"exchange\.jsonl: cannot record here: No such file or directory"):
        run(record())


# record -> replay, whatever is asked

IDENTIFY_PAIR = (Identify.request(), b"")

COMMANDS = st.sampled_from(
    [
        (Identify.request(), b""),
        (Initialise.request(), b""),
        (Status.request(), b""),
        (EnableDrive.request(), b""),
        *(
            (drive.command, drive.block)
            for drive in (Drive(focus_operation="move", focus_target=at) for at in (40, 300))
        ),
        (bytes.fromhex("60f00000"), bytes(4)),
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("transact"), COMMANDS),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.001, 0.0161, 0.1, 1.3])),
    st.tuples(st.just("frames"), st.sampled_from([(60.0, Report.ALL), (60.0, Report.CHANGES), (25.0, Report.ALL)])),
    st.tuples(st.just("stop"), st.none()),
    st.tuples(st.just("off"), st.none()),
    st.tuples(st.just("on"), st.none()),
)


async def carry_out(transport: Transport, steps: list[tuple[str, Any]]) -> list[Any]:
    """Do the steps, and return all that came of it, with times from the opening."""
    await transport.open()
    start_ns = transport.now_ns()
    told: list[Any] = []

    def timed(outcome: Outcome) -> tuple[object, ...]:
        return outcome.start_ns - start_ns, outcome.end_ns - start_ns, outcome.said, outcome.broke_off

    transport.tell = lambda sign: told.append(timed(sign.outcome) if isinstance(sign, Polled) else type(sign))
    for step, value in steps:
        if step == "transact":
            command, data = value
            shape = PUBLIC.shape_of(command)
            assert shape is not None
            told.append(timed(await transport.transact(tuple(transfers_of(command, shape, data)))))
        elif step == "wait":
            await asyncio.sleep(value)
        elif step == "frames":
            await transport.start_frames(Frames(value[0], Status.request(), report=value[1]))
        elif step == "stop":
            await transport.stop_frames()
        else:
            told.append(await transport.power(on=step == "on"))
    await transport.close()
    return told


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
@example(
    steps=[("frames", (60.0, Report.ALL)), ("transact", IDENTIFY_PAIR), ("transact", IDENTIFY_PAIR), ("off", None)]
)
@example(  # a poll falls into the call that follows it, and the report changes before its time
    steps=[
        ("frames", (60.0, Report.CHANGES)),
        ("wait", 0.0161),
        ("frames", (60.0, Report.ALL)),
        ("transact", IDENTIFY_PAIR),
        ("transact", IDENTIFY_PAIR),
    ]
)
@example(  # a stop and another start at the same moment are passed over before they are asked for
    steps=[
        ("frames", (60.0, Report.ALL)),
        ("stop", None),
        ("frames", (60.0, Report.ALL)),
        ("wait", 0.0161),
        ("stop", None),
    ]
)
@example(  # and two stops at once
    steps=[
        ("frames", (60.0, Report.ALL)),
        ("stop", None),
        ("stop", None),
        ("frames", (60.0, Report.ALL)),
        ("wait", 0.0161),
        ("stop", None),
    ]
)
def test_what_was_recorded_comes_back_with_its_times(tmp_path: Path, steps: list[tuple[str, Any]]) -> None:
    path = tmp_path / "exchange.jsonl"
    steps = [("on", None), *steps]
    recorded = run(carry_out(open_transport(LENS, record=str(path)), steps))
    assert run(carry_out(ReplayTransport(str(path)), steps)) == recorded


# bad files

HEAD = (
    '{"format": "m43-exchange", "version": 1, "url": "sim:x", "name": "x", "firmware": "", "boot_id": 0, '
    '"longest_block": 9}\n'
)
SPAN = '"start_ns": 0, "end_ns": 1}'
POWER = '{"do": "power", "on": true, "woke": true, "t_ns": 0, "end_ns": 5}\n'


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "is empty; record with m43 lens --record"),
        ("hello\n", "line 1 is no JSON"),
        ("[1]\n", "line 1 is no JSON object"),
        ('{"format": "other"}\n', "line 1 does not say format m43-exchange"),
        (HEAD.replace('"version": 1', '"version": 2'), "line 1 says version 2; this program reads version 1"),
        (HEAD.replace('"url": "sim:x", ', ""), "line 1 lacks url, a text"),
        (HEAD + POWER + POWER[:30], "line 3 is cut off; delete it to use what stands before it"),
        (HEAD + "{broken}\n" + POWER, "line 2 is no JSON"),
        (HEAD + "7\n", "line 2 is no JSON object"),
        (HEAD + '{"do": "dance"}\n', "line 2 does 'dance', but should do one of power, transact, frames"),
        (HEAD + "{}\n", "line 2 does None, but should do one of"),
        (HEAD + POWER.replace("true", "1", 1), "line 2 has on 1, which should be true or false"),
        (HEAD + POWER.replace('"t_ns": 0', '"t_ns": -1'), "line 2 has t_ns -1, which should be a time in nanoseconds"),
        (HEAD + POWER.replace('"t_ns": 0', '"t_ns": 9'), "line 2 ends before it begins"),
        (HEAD + POWER.replace(', "end_ns": 5', ""), "line 2 lacks end_ns"),
        (
            HEAD + '{"do": "transact", "command": "b0f2", "data": "", "said": "", "broke_off": null, ' + SPAN,
            'line 2 has command "b0f2", which should be four bytes in hexadecimal',
        ),
        (
            HEAD + '{"do": "poll", "command": "c1800106", "said": "4", "alike": 0, "broke_off": null, ' + SPAN,
            'line 2 has said "4", which should be bytes in hexadecimal',
        ),
        (
            HEAD + '{"do": "poll", "command": "c1800106", "said": "", "alike": 0, "broke_off": "ill", ' + SPAN,
            'line 2 has broke_off "ill", which should be null or one of no_answer, silent',
        ),
        (HEAD + POWER.replace("}", ', "failed": "x"}'), 'line 2 has failed "x", which should be one of lost, timeout'),
        (
            HEAD + '{"do": "frames", "t_ns": 0, "poll": "c1800106", "rate_hz": 0, "report": "all"}',
            "line 2 has rate_hz 0",
        ),
        (HEAD + '{"do": "heartbeat", "t_ns": 0, "alike": 0, "counters": {"a": "b"}}', "line 2 has counters"),
        (HEAD + '{"do": "lost", "t_ns": 0, "error": 5}', "line 2 has error 5, which should be a text"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TransportError) as error:
        open_transport(f"replay:{path}")
    assert str(error.value).startswith(f"{path}: ")
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_text_or_not_there_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with pytest.raises(TransportError, match="cannot be read: No such file"):
        ReplayTransport(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TransportError, match="it holds bytes that are no text"):
        ReplayTransport(str(path))
    with pytest.raises(TransportError, match="replay: has no key slow; keys: fast"):
        ReplayTransport(f"{path}?slow=1")


def test_a_recording_is_known_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert not is_exchange(path)
    assert not is_exchange(tmp_path)
    for content, known in ((HEAD, True), ("{}", False), ("[]", False), ("x", False), (b"\xff\xfe", False), ("", False)):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert is_exchange(path) is known
    path.write_text(HEAD + POWER)
    exchange = read_exchange(path)
    assert (exchange.url, exchange.abilities.name, exchange.end_ns, exchange.rows[0].line) == ("sim:x", "x", 5, 2)
    path.write_text(HEAD)
    assert read_exchange(path).end_ns == 0
