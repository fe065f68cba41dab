"""What every transport keeps to; a new one joins by a row in `CASES`.

A test is a scenario: a coroutine that uses a transport as its one user, and asserts. A recording is made by running the
scenario against a simulated lens first; then it runs again, against the recording.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pytest

from m43drivers.transport import Break, Frames, Heartbeat, Lost, Outcome, Polled, Report, Transport, TransportLostError
from m43drivers.transports import open_transport
from m43drivers.transports.recording import RecordingTransport
from m43drivers.transports.replay import ReplayTransport
from m43proto.exchange import transfers_of
from m43proto.messages import PUBLIC, Drive, Identify, Initialise, SelectLinkMode, Status
from m43proto.session import TIMEOUTS, Wait
from tests.virtualtime import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from m43drivers.transport import Sign

LENS = "olympus-14-42"

POLL = Status.request()

Scenario: TypeAlias = "Callable[[Transport], Awaitable[None]]"


@dataclass(frozen=True)
class Case:
    """A transport under test.

    Attributes:
        made: gives the transport, its other end ready, for the time of the context; given the folder of the test.
        rehearsal: makes the recording, for a transport that needs one: what the scenario runs against first.
    """

    made: Callable[[Path], AbstractAsyncContextManager[Transport]]
    rehearsal: Callable[[Path], AbstractAsyncContextManager[Transport]] | None = None


def constructed(make: Callable[[Path], Transport]) -> Callable[[Path], AbstractAsyncContextManager[Transport]]:
    @asynccontextmanager
    async def made(folder: Path) -> AsyncIterator[Transport]:
        yield make(folder)

    return made


def recorder(url: str) -> Callable[[Path], Transport]:
    return lambda folder: open_transport(url, record=str(folder / "exchange.jsonl"))


def replayer(options: str) -> Callable[[Path], Transport]:
    return lambda folder: ReplayTransport(f"{folder / 'exchange.jsonl'}{options}")


def simple(url: str) -> Case:
    return Case(constructed(lambda _: open_transport(url)))


def replay(url: str, options: str = "") -> Case:
    return Case(constructed(replayer(options)), rehearsal=constructed(recorder(url)))


SIM, LOOPBACK = f"sim:{LENS}", f"loopback:{LENS}"

CASES = {
    "sim": simple(SIM),
    "sim at the pins": simple(f"{SIM}?pins=1"),
    "bridge": simple(LOOPBACK),
    "bridge far away": simple(f"{LOOPBACK}?delay_s=0.01&dribble=1"),
    "recording of sim": Case(constructed(recorder(SIM))),
    "recording of a bridge": Case(constructed(recorder(LOOPBACK))),
    "replay": replay(SIM),
    "fast replay": replay(SIM, "?fast=1"),
    "replay of the pins": replay(f"{SIM}?pins=1"),
    "replay of a bridge": replay(LOOPBACK),
    "fast replay of a bridge": replay(LOOPBACK, "?fast=1"),
}


@pytest.fixture(params=CASES)
def carry_out(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario with the transport of a case, on virtual time."""
    case = CASES[request.param]

    async def with_transport(made: AbstractAsyncContextManager[Transport], scenario: Scenario) -> None:
        async with made as transport, asyncio.timeout(600):
            await scenario(transport)
            await transport.close()

    def carry_out(scenario: Scenario) -> None:
        if case.rehearsal is not None:
            run(with_transport(case.rehearsal(tmp_path), scenario))
        run(with_transport(case.made(tmp_path), scenario))

    return carry_out


async def transact(transport: Transport, command: bytes, data: bytes = b"") -> Outcome:
    shape = PUBLIC.shape_of(command)
    assert shape is not None
    async with asyncio.timeout(30):
        return await transport.transact(tuple(transfers_of(command, shape, data)))


async def opened(transport: Transport) -> list[Sign]:
    """Open it, wake the lens; return the list that its signs go to."""
    told: list[Sign] = []
    transport.tell = told.append
    abilities = await transport.open()
    assert abilities.name
    assert await transport.power(on=True) is True
    return told


def polls_in(told: list[Sign]) -> int:
    return sum(
        1 + sign.alike if isinstance(sign, Polled) else sign.alike for sign in told if not isinstance(sign, Lost)
    )


async def polls(transport: Transport, told: list[Sign], count: int) -> None:
    """Wait until so many polls have been told."""
    async with asyncio.timeout(30):
        while polls_in(told) < count:
            await asyncio.sleep(0.005)


def test_it_opens_and_closes_quickly_and_more_than_once(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        await opened(transport)
        async with asyncio.timeout(1):
            await transport.close()
            await transport.close()
        transport.abort()

    carry_out(scenario)


def test_what_was_never_opened_closes(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        async with asyncio.timeout(1):
            await transport.close()
        transport.abort()
        told = await opened(transport)
        assert told == []

    carry_out(scenario)


def test_it_aborts_in_the_midst_of_polling_and_tells_nothing_more(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        told = await opened(transport)
        await transport.start_frames(Frames(60, POLL))
        await polls(transport, told, 3)
        transport.abort()
        count = len(told)
        await asyncio.sleep(2)
        assert len(told) == count
        await transport.close()

    carry_out(scenario)


def test_each_shape_comes_back_whole(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        await opened(transport)
        complete = await transact(transport, Initialise.request())
        assert complete.said == bytes.fromhex("a200")
        read = await transact(transport, Identify.request())
        assert read.said[:3] == bytes.fromhex("ba1500")
        assert sum(read.said[3:-1]) % 256 == read.said[-1]
        setting = await transact(transport, SelectLinkMode.request())
        assert setting.said == bytes.fromhex("96")
        drive = Drive(focus_operation="move", focus_target=100)
        write = await transact(transport, drive.command, drive.block)
        assert write.said == bytes([sum(drive.command) % 256, sum(drive.block) % 256])
        outcomes = [complete, read, setting, write]
        assert [outcome.broke_off for outcome in outcomes] == [None] * 4
        assert all(outcome.start_ns < outcome.end_ns for outcome in outcomes)
        assert all(one.end_ns <= other.start_ns for one, other in itertools.pairwise(outcomes))
        assert outcomes[-1].end_ns <= transport.now_ns() + 1

    carry_out(scenario)


def test_times_never_go_back(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        told = await opened(transport)
        times = [transport.now_ns()]
        await transport.start_frames(Frames(60, POLL))
        for _ in range(5):
            outcome = await transact(transport, Identify.request())
            times += [outcome.start_ns, outcome.end_ns, transport.now_ns() + 1]
            await asyncio.sleep(0.05)
        assert times == sorted(times)
        await transport.stop_frames()
        polled = [sign.outcome for sign in told if isinstance(sign, Polled)]
        assert len(polled) >= 5
        assert [outcome.start_ns for outcome in polled] == sorted(outcome.start_ns for outcome in polled)

    carry_out(scenario)


def test_a_lens_without_power_does_not_answer_and_wakes_again(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        await opened(transport)
        assert await transport.power(on=False) is False
        silence = await transact(transport, Identify.request())
        assert (silence.said, silence.broke_off) == (b"", Break.NO_ANSWER)
        rest_ns = TIMEOUTS[Wait.ANSWER].limit_ns  # a body at the pins lets the lines rest as long again
        assert silence.end_ns - silence.start_ns <= TIMEOUTS[Wait.ANSWER].limit_ns + rest_ns
        assert await transport.power(on=True) is True
        assert (await transact(transport, Identify.request())).broke_off is None

    carry_out(scenario)


def test_all_polls_are_told_when_asked(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        told = await opened(transport)
        await transport.start_frames(Frames(50, POLL, report=Report.ALL))
        await polls(transport, told, 20)
        await transport.stop_frames()
        outcomes = [sign.outcome for sign in told if isinstance(sign, Polled)]
        assert len(outcomes) >= 20
        assert {len(outcome.said) for outcome in outcomes} == {34}
        periods = [(later.start_ns - one.start_ns) / 1e6 for one, later in itertools.pairwise(outcomes)]
        assert all(abs(period - 20) < 3 for period in periods), periods

    carry_out(scenario)


def test_of_polls_that_are_alike_only_heartbeats_tell(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        told = await opened(transport)
        await transport.start_frames(Frames(50, POLL, report=Report.CHANGES))
        await polls(transport, told, 120)
        assert sum(isinstance(sign, Polled) for sign in told) == 1
        assert sum(isinstance(sign, Heartbeat) for sign in told) in (2, 3)
        drive = Drive(focus_operation="move", focus_target=100)
        await transact(transport, drive.command, drive.block)
        changes = len(told)
        async with asyncio.timeout(30):
            while sum(isinstance(sign, Polled) for sign in told[changes:]) < 3:
                await asyncio.sleep(0.005)
        await transport.stop_frames()
        said = [sign.outcome.said for sign in told if isinstance(sign, Polled)]
        assert all(one != other for one, other in itertools.pairwise(said))

    carry_out(scenario)


def test_nothing_is_told_of_polls_behind_the_return_of_stop(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        told = await opened(transport)
        for pause_s in (0.0, 0.0021, 0.0166, 0.0185, 0.05):
            await transport.start_frames(Frames(60, POLL))
            await asyncio.sleep(pause_s)
            await transport.stop_frames()
            count = sum(isinstance(sign, Polled) for sign in told)
            await asyncio.sleep(0.1)
            assert sum(isinstance(sign, Polled) for sign in told) == count
        await transport.stop_frames()

    carry_out(scenario)


def test_transactions_go_between_the_polls(carry_out: Callable[[Scenario], None]) -> None:
    async def scenario(transport: Transport) -> None:
        told = await opened(transport)
        await transport.start_frames(Frames(60, POLL))
        outcomes = []
        for _ in range(8):
            outcomes.append(await transact(transport, Identify.request()))
            await asyncio.sleep(0.0071)
        await polls(transport, told, 5)
        await transport.stop_frames()
        spans = [(one.start_ns, one.end_ns) for one in outcomes]
        spans += [(sign.outcome.start_ns, sign.outcome.end_ns) for sign in told if isinstance(sign, Polled)]
        spans.sort()
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))

    carry_out(scenario)


@pytest.mark.parametrize("pause_s", [0.0, 0.0001, 0.0005, 0.1])
def test_a_cancelled_call_never_cuts_a_transaction(carry_out: Callable[[Scenario], None], pause_s: float) -> None:
    async def scenario(transport: Transport) -> None:
        await opened(transport)
        command = Initialise.request()  # half a second of work, then the status byte
        cut = asyncio.create_task(transact(transport, command))
        await asyncio.sleep(0)
        await asyncio.sleep(pause_s)
        cut.cancel()
        await asyncio.wait([cut])
        whole = await transact(transport, Identify.request())
        assert (whole.broke_off, whole.said[:3]) == (None, bytes.fromhex("ba1500"))
        again = await transact(transport, command)
        assert (again.broke_off, again.said) == (None, bytes.fromhex("a200"))

    carry_out(scenario)


# the other end is lost


@asynccontextmanager
async def cut_recording(folder: Path) -> AsyncIterator[tuple[Transport, Callable[[], None]]]:
    """Give a recording that ends in the midst of polling: its end comes by itself."""

    async def session() -> None:
        transport = recorder(SIM)(folder)
        told = await opened(transport)
        await transport.start_frames(Frames(60, POLL))
        await polls(transport, told, 10)
        transport.abort()

    await session()
    yield ReplayTransport(str(folder / "exchange.jsonl")), lambda: None


@asynccontextmanager
async def unplugged_bridge(folder: Path) -> AsyncIterator[tuple[Transport, Callable[[], None]]]:
    transport = open_transport(LOOPBACK)

    def unplug() -> None:
        stream = getattr(transport, "_stream")  # noqa: B009  # the hand that pulls the cable
        stream.unplug()

    yield transport, unplug


@asynccontextmanager
async def unplugged_recording(folder: Path) -> AsyncIterator[tuple[Transport, Callable[[], None]]]:
    """Give the recording of a bridge that was unplugged: its end comes by itself, as it came then."""
    async with unplugged_bridge(folder) as (bridge, unplug):
        recording = RecordingTransport(bridge, folder / "exchange.jsonl")
        told = await opened(recording)
        await recording.start_frames(Frames(60, POLL))
        await polls(recording, told, 10)
        unplug()
        await recording.close()
    yield ReplayTransport(str(folder / "exchange.jsonl")), lambda: None


LOSABLE: dict[str, Callable[[Path], AbstractAsyncContextManager[tuple[Transport, Callable[[], None]]]]] = {
    "bridge": unplugged_bridge,
    "replay that was cut": cut_recording,
    "replay of a loss": unplugged_recording,
}
"""Transports whose other end can go: each gives the transport, and what takes the other end away."""


@pytest.mark.parametrize("name", LOSABLE)
def test_a_lost_other_end_is_told_once_and_ends_every_call(name: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LOSABLE[name](tmp_path) as (transport, lose), asyncio.timeout(60):
            told = await opened(transport)
            await transport.start_frames(Frames(60, POLL))
            await polls(transport, told, 3)
            lose()
            while not any(isinstance(sign, Lost) for sign in told):
                await asyncio.sleep(0.01)
            with pytest.raises(TransportLostError) as lost:
                await transact(transport, Identify.request())
            assert "\n" not in str(lost.value)
            with pytest.raises(TransportLostError):
                await transport.power(on=True)
            async with asyncio.timeout(1):
                await transport.close()
            await asyncio.sleep(2)
            assert sum(isinstance(sign, Lost) for sign in told) == 1
            assert isinstance(told[-1], Lost)

    run(scenario())


def test_the_shapes_that_are_tried_are_all_there_are() -> None:
    tried = (Initialise.request(), Identify.request(), SelectLinkMode.request(), Drive().command)
    assert {PUBLIC.shape_of(command) for command in tried} == {kind.spec.shape for kind in PUBLIC}
