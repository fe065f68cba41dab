"""The transport to a bridge, against a fake bridge in virtual time: what each side may do wrong, and when."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.bridge import protocol, requests
from m43drivers.bridge.protocol import (
    KINDS,
    Counters,
    Done,
    Hello,
    LinkMessage,
    Power,
    Refusal,
    StartFrames,
    Stop,
    Transact,
    encode,
)
from m43drivers.bridge.requests import LATE_S, LIMITS, QUEUE_S
from m43drivers.transport import (
    Break,
    Frames,
    Heartbeat,
    Lost,
    Outcome,
    Polled,
    Report,
    Sign,
    TransportError,
    TransportLostError,
    TransportTimeoutError,
)
from m43drivers.transports import TRANSPORTS, open_transport
from m43drivers.transports.bridge import CLOCK_EXCHANGES, CLOSE_S, SILENCE_S, BridgeTransport, request_of
from m43proto.exchange import Transfer, transfers_of
from m43proto.messages import Drive, Identify, Initialise, SelectLinkMode, Status
from m43proto.shapes import Shape
from tests.transports.fakebridge import BOOT_ID, FakeBridge, MemoryStream
from tests.virtualtime import run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

STATUS = bytes.fromhex("c1800106")
POLL = Frames(60, STATUS)


def turns(command: bytes = STATUS, shape: Shape = Shape.READ, data: bytes = b"") -> tuple[Transfer, ...]:
    return tuple(transfers_of(command, shape, data))


def numbered(number: int) -> tuple[Transfer, ...]:
    return turns(b"\xc1\x80" + number.to_bytes(2, "big"))


def said_of(transfers: tuple[Transfer, ...]) -> bytes:
    command = transfers[0].data
    return bytes([sum(command) & 0xFF]) + command


class Bench:
    """A transport on a fake bridge."""

    def __init__(self, dribble: int | None = None) -> None:
        self.bridge = FakeBridge()
        self.streams: list[MemoryStream] = []
        self.signs: list[Sign] = []
        self.transport = BridgeTransport("memory:", self._open)
        self.transport.tell = self.signs.append
        self._dribble = dribble

    async def _open(self) -> MemoryStream:
        await asyncio.sleep(0)
        self.streams.append(MemoryStream(self.bridge, self._dribble))
        return self.streams[-1]

    @property
    def stream(self) -> MemoryStream:
        return self.streams[-1]

    @property
    def lost(self) -> list[Lost]:
        return [sign for sign in self.signs if isinstance(sign, Lost)]

    @property
    def commands(self) -> list[bytes]:
        return [request.command for request in self.bridge.requests if isinstance(request, Transact)]

    async def __aenter__(self) -> Bench:
        await self.transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()
        assert [stream.closed for stream in self.streams] == [1] * len(self.streams)

    async def works(self) -> None:
        """See that the next exchange is right."""
        asked = numbered(0x7777)
        assert (await self.transport.transact(asked)).said == said_of(asked)


def now() -> float:
    return asyncio.get_running_loop().time()


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.01)


# opening


def test_opening_says_hello_stops_frames_and_learns_the_clock() -> None:
    async def main() -> None:
        bench = Bench()
        abilities = await bench.transport.open()
        assert (abilities.name, abilities.firmware, abilities.boot_id) == ("fake", "0.0", BOOT_ID)
        assert abilities.longest_block == 0x2002
        assert bench.bridge.wire[0] == 0
        assert bench.bridge.requests == [Hello(), Stop(), *[Counters()] * CLOCK_EXCHANGES]
        with pytest.raises(TransportError, match="is open already"):
            await bench.transport.open()
        await bench.transport.close()
        await bench.transport.open()
        await bench.works()
        await bench.transport.close()
        assert (len(bench.streams), bench.lost) == (2, [])

    run(main())


def test_nobody_answers() -> None:
    async def main() -> None:
        bench = Bench()
        bench.bridge.mute = True
        began = now()
        asyncio.get_running_loop().call_later(0.1, lambda: bench.bridge.send(b"MicroPython v1.27\r\n>>> "))
        with pytest.raises(TransportTimeoutError) as caught:
            await bench.transport.open()
        assert now() - began == near(0.9)
        assert str(caught.value) == (
            "memory:: no bridge answers within 0.9 s; does its firmware run, is it the right port?; "
            "what it says is no answer: b'MicroPython v1.27\\r\\n>>> '"
        )
        assert (bench.stream.closed, bench.signs) == (1, [])
        assert [message for _, message in bench.bridge.heard] == [Hello()] * 3
        assert len({seq for seq, _ in bench.bridge.heard}) == 1

    run(main())


def test_an_echo_is_no_bridge() -> None:
    async def main() -> None:
        bench = Bench()
        bench.bridge.feed = lambda data: bench.bridge.send(data)  # type: ignore[method-assign]
        with pytest.raises(TransportTimeoutError, match="no bridge answers"):
            await bench.transport.open()

    run(main())


def test_another_version() -> None:
    async def main() -> None:
        bench = Bench()
        bench.bridge.version = 9
        with pytest.raises(TransportError, match=r"speaks version 9 of the link, this program version 1; copy"):
            await bench.transport.open()
        assert (bench.stream.closed, bench.signs) == (1, [])

    run(main())


def test_unplugged_while_opening() -> None:
    async def main(request: int) -> None:
        bench = Bench()
        opening = asyncio.create_task(bench.transport.open())
        while len(bench.bridge.heard) < request:
            await asyncio.sleep(0.0001)
        bench.stream.unplug()
        with pytest.raises(TransportLostError, match="is gone"):
            await opening
        assert (bench.stream.closed, bench.signs) == (1, [])

    for request in range(1, 8):
        run(main(request))


def test_not_open() -> None:
    async def main() -> None:
        bench = Bench()
        with pytest.raises(TransportError, match="is not open"):
            await bench.transport.power(on=True)
        await bench.transport.close()
        bench.transport.abort()
        async with bench:
            pass
        with pytest.raises(TransportLostError, match="is closed"):
            await bench.transport.power(on=True)
        assert bench.lost == []

    run(main())


# calls


@pytest.mark.parametrize(
    ("command", "shape", "data"),
    [
        (SelectLinkMode.spec.opcode + b"\0\0", Shape.SET, b""),
        (Initialise.spec.opcode + b"\0\0", Shape.COMPLETE, b""),
        (Status.spec.opcode + b"\1\6", Shape.READ, b""),
        (Identify.spec.opcode + b"\0\0", Shape.READ, b""),
        (Drive.spec.opcode + b"\0\0", Shape.WRITE, b"\1\2\3\4"),
        (Drive.spec.opcode + b"\0\0", Shape.WRITE, b""),
    ],
)
def test_a_transaction_becomes_its_request(command: bytes, shape: Shape, data: bytes) -> None:
    assert request_of(turns(command, shape, data)) == Transact(command, shape, data)


def test_what_is_no_transaction() -> None:
    for wrong in ((), turns()[1:]):
        with pytest.raises(TransportError, match="begins with a command"):
            request_of(wrong)


def test_calls_and_their_answers() -> None:
    async def main() -> None:
        async with Bench() as bench:
            transport = bench.transport
            assert await transport.power(on=True) is True
            began_ns = transport.now_ns()
            outcome = await transport.transact(turns())
            assert outcome.said == said_of(turns())
            assert outcome.broke_off is None
            assert began_ns < outcome.start_ns < outcome.end_ns < transport.now_ns()
            assert outcome.end_ns - outcome.start_ns == pytest.approx(400_000, abs=2_000)
            assert await transport.power(on=False) is False
            assert await transport.self_test() == (0, "all well")
            assert (await transport.counters())["late_frames"] == 4
            bench.bridge.instead[Transact] = Done(Break.SILENT, 1, 2, b"\x48")
            outcome = await transport.transact(turns())
            assert (outcome.broke_off, outcome.said) == (Break.SILENT, b"\x48")

    run(main())


@pytest.mark.parametrize("dribble", [1, 7])
def test_answers_that_dribble(dribble: int) -> None:
    async def main() -> None:
        async with Bench(dribble) as bench:
            await bench.works()

    run(main())


def test_refusals_and_requests_that_cannot_be_sent() -> None:
    async def main() -> None:
        async with Bench() as bench:
            bench.bridge.instead[Transact] = Refusal(3, "another transaction is waiting")
            with pytest.raises(TransportError) as caught:
                await bench.transport.transact(turns())
            assert str(caught.value) == "memory: the bridge refuses Transact: busy: another transaction is waiting"
            bench.bridge.instead[Transact] = Refusal(77, "news")
            with pytest.raises(TransportError, match="refuses Transact: code 77: news"):
                await bench.transport.transact(turns())
            with pytest.raises(TransportError, match=r"cannot be asked of a bridge: StartFrames"):
                await bench.transport.start_frames(Frames(0.0001, STATUS))
            with pytest.raises(TransportError, match=r"has 8195 bytes .* the bridge takes 8194"):
                await bench.transport.transact(turns(b"\x60\x80\0\0", Shape.WRITE, bytes(0x2000)))
            bench.bridge.instead.clear()
            await bench.works()

    run(main())


# limits


def test_every_request_has_a_limit_and_only_what_may_be_repeated_is() -> None:
    asked = {kind for kind in KINDS.values() if kind.kind < 0x40}
    assert set(LIMITS) == asked
    for kind, limit in LIMITS.items():
        assert limit.answer_s > 0
        assert limit.tries == 1 or kind.repeatable, kind
        assert limit.why


CALLS: dict[type[LinkMessage], Callable[[BridgeTransport], Coroutine[Any, Any, object]]] = {
    Transact: lambda transport: transport.transact(turns()),
    Power: lambda transport: transport.power(on=True),
    StartFrames: lambda transport: transport.start_frames(POLL),
    Stop: lambda transport: transport.stop_frames(),
    Counters: lambda transport: transport.counters(),
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_lost_answer(kind: type[LinkMessage]) -> None:
    """What may be repeated is, with its own number; a transaction never is."""

    async def main() -> None:
        async with Bench() as bench:
            limit = LIMITS[kind]
            bench.bridge.drop[kind] = 1
            bench.bridge.heard.clear()
            began = now()
            if limit.tries > 1:
                await CALLS[kind](bench.transport)
                assert len(bench.bridge.heard) == 2
                assert bench.bridge.heard[0] == bench.bridge.heard[1]
            else:
                with pytest.raises(TransportTimeoutError, match=r"did not answer Transact within 3 s$"):
                    await CALLS[kind](bench.transport)
                assert len(bench.bridge.heard) == 1
            assert now() - began == near(limit.answer_s)
            await bench.works()

    run(main())


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("stuck", [False, True])
def test_no_answer_at_all(kind: type[LinkMessage], stuck: bool) -> None:
    async def main() -> None:
        async with Bench() as bench:
            limit = LIMITS[kind]
            bench.bridge.mute, bench.stream.stuck = not stuck, stuck
            began = now()
            with pytest.raises(TransportTimeoutError, match=kind.__name__):
                await CALLS[kind](bench.transport)
            assert now() - began == near(limit.answer_s * limit.tries)
            bench.bridge.mute = bench.stream.stuck = False
            await bench.works()
            assert bench.bridge.bad_frames == 0

    run(main())


def test_every_waiting_call_has_its_limit() -> None:
    async def main() -> None:
        async with Bench() as bench:
            bench.bridge.mute = True
            beats = asyncio.create_task(_beats(bench))
            began = now()
            calls = [asyncio.create_task(bench.transport.transact(numbered(number))) for number in range(5)]
            await asyncio.wait(calls)
            assert all(isinstance(call.exception(), TransportTimeoutError) for call in calls)
            assert now() - began == near(LIMITS[Transact].answer_s + QUEUE_S)
            beats.cancel()
            bench.bridge.mute = False
            await bench.works()

    async def _beats(bench: Bench) -> None:
        while True:
            bench.stream._deliver(b"\0")
            bench.transport._heard_s = now()
            await asyncio.sleep(1)

    run(main())


def test_half_a_request_is_ended_before_the_next() -> None:
    """A stream that took a part of a frame, and then nothing: the next frame must not be read as its end."""

    async def main() -> None:
        async with Bench() as bench:
            whole = bench.stream.write

            def half(data: bytes) -> None:
                bench.stream.write = whole  # type: ignore[method-assign]
                whole(data[: len(data) // 2])

            bench.stream.write = half  # type: ignore[method-assign]
            with pytest.raises(TransportTimeoutError):
                await bench.transport.transact(turns())
            await bench.works()
            assert bench.bridge.bad_frames == 1
            bench.stream.write = half  # type: ignore[method-assign]
            await bench.transport.stop_frames()

    run(main())


def test_a_late_answer_finds_nobody() -> None:
    """However many requests come after it: its number is not used again while it may still come."""

    async def main(after: int) -> None:
        async with Bench() as bench:
            bench.bridge.slow[Transact] = [LIMITS[Transact].answer_s + 1]
            with pytest.raises(TransportTimeoutError):
                await bench.transport.transact(numbered(1))
            late = bench.bridge.heard[-1][0]
            for number in range(after):
                asked = numbered(number + 2)
                assert (await bench.transport.transact(asked)).said == said_of(asked)
            used = [seq for seq, _ in bench.bridge.heard[-after:]]
            assert late not in used
            assert 0 not in used
            await asyncio.sleep(2)
            assert bench.transport._requests is not None
            assert bench.transport._requests.stray == 1
            await bench.works()

    for after in (1, 254, 255, 256, 3000):
        run(main(after))


def test_a_number_comes_back_when_no_late_answer_can() -> None:
    async def main() -> None:
        async with Bench() as bench:
            bench.bridge.beat(-1)
            bench.bridge.drop[Transact] = 1
            with pytest.raises(TransportTimeoutError):
                await bench.transport.transact(turns())
            late = bench.bridge.heard[-1][0]
            await asyncio.sleep(LATE_S + 1)
            for number in range(255):
                await bench.transport.transact(numbered(number))
            assert late in [seq for seq, _ in bench.bridge.heard[-255:]]

    run(main())


def test_the_answer_to_a_request_sent_twice_comes_twice() -> None:
    """The second finds nobody either, even when the same is asked again as soon as the numbers come round."""

    async def main() -> None:
        async with Bench() as bench:
            limit_s = LIMITS[Power].answer_s
            bench.bridge.slow[Power] = [limit_s + 0.0005, 0.4, 0.9 * limit_s]
            assert await bench.transport.power(on=True)
            for number in range(254):
                asked = numbered(number)
                assert (await bench.transport.transact(asked)).said == said_of(asked)
            began = now()
            assert await bench.transport.power(on=False) is False
            assert now() - began == near(0.9 * limit_s)
            assert bench.transport._requests is not None
            assert bench.transport._requests.stray == 1

    run(main())


@pytest.mark.parametrize("change", ["number", "kind"])
def test_an_answer_to_something_else_is_none(change: str) -> None:
    async def main() -> None:
        async with Bench() as bench:
            bench.bridge.slow[Transact] = [0.5]
            call = asyncio.create_task(bench.transport.transact(turns()))
            await asyncio.sleep(0.1)
            seq = bench.bridge.heard[-1][0]
            if change == "number":
                bench.bridge.say(Done(None, 0, 0, b"wrong"), (seq + 1) % 256)
            else:
                bench.bridge.say(KINDS[Stop.kind | 0x80](), seq)
            assert (await call).said == said_of(turns())

    run(main())


# who goes first


def test_stopping_and_power_off_overtake() -> None:
    async def main() -> None:
        async with Bench() as bench:
            bench.bridge.heard.clear()
            transport = bench.transport
            calls: list[asyncio.Task[Any]] = []
            calls += [asyncio.create_task(transport.transact(numbered(number))) for number in range(3)]
            await asyncio.sleep(0)
            calls += [asyncio.create_task(transport.power(on=True))]
            calls += [asyncio.create_task(transport.stop_frames()), asyncio.create_task(transport.power(on=False))]
            await asyncio.gather(*calls)
            first, *others = bench.bridge.requests
            assert isinstance(first, Transact)
            assert others[:2] == [Stop(), Power(on=False)]
            assert bench.commands == [numbered(number)[0].data for number in range(3)]
            assert others[-1] == Power(on=True)

    run(main())


# cancelling


def test_a_cancelled_call_cuts_nothing() -> None:
    async def main() -> None:
        async with Bench() as bench:
            calls = [asyncio.create_task(bench.transport.transact(numbered(number))) for number in range(3)]
            await asyncio.sleep(0.0003)
            calls[0].cancel()
            calls[1].cancel()
            await asyncio.wait(calls)
            assert [call.cancelled() for call in calls] == [True, True, False]
            assert calls[2].result().said == said_of(numbered(2))
            assert bench.commands == [numbered(0)[0].data, numbered(2)[0].data]
            assert bench.bridge.bad_frames == 0
            await bench.works()

    run(main())


async def _life(bench: Bench) -> None:
    """Use everything once."""
    transport = bench.transport
    await transport.open()
    await transport.power(on=True)
    await transport.transact(numbered(1))
    await transport.start_frames(POLL)
    await transport.transact(numbered(2))
    await transport.stop_frames()
    await transport.power(on=False)
    await transport.close()


def _cancelled_after(steps: int, seed: int | None) -> bool:
    """Cancel a life after so many steps of the loop; return whether it had ended before."""

    async def main() -> bool:
        bench = Bench()
        life = asyncio.create_task(_life(bench))
        for _ in range(steps):
            await asyncio.sleep(0)
            if life.done():
                break
            if not asyncio.get_running_loop()._ready:  # type: ignore[attr-defined]
                await asyncio.sleep(0.0001)
        ended = life.done()
        life.cancel()
        await asyncio.wait([life])
        assert life.cancelled() is not ended
        if bench.transport._stream is None:
            await bench.transport.open()
        await bench.works()
        assert await bench.transport.power(on=True)
        await bench.transport.close()
        assert [stream.closed for stream in bench.streams] == [1] * len(bench.streams)
        assert bench.bridge.bad_frames == 0
        assert bench.lost == []
        return ended

    return run(main(), seed=seed)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_cancelled_at_every_step(seed: int | None) -> None:
    """Wherever a user's task is cancelled, the next exchange is right, and nothing is left behind."""
    print(f"seed {seed}")
    steps = 0
    while not _cancelled_after(steps, seed):
        steps += 1
    assert steps > 40


# frames


def test_polls_are_told_while_there_are_frames_only() -> None:
    async def main() -> None:
        async with Bench() as bench:
            bridge = bench.bridge
            bridge.poll(b"before")
            await bench.transport.start_frames(Frames(50, STATUS, report=Report.CHANGES))
            assert bridge.requests[-1] == StartFrames(20_000, 500, 1_500, Report.CHANGES, STATUS)
            bridge.poll(b"first")
            await asyncio.sleep(0.01)
            stopping = asyncio.create_task(bench.transport.stop_frames())
            await asyncio.sleep(0)
            bridge.poll(b"second")
            await stopping
            bridge.poll(b"behind")
            await bench.transport.start_frames(POLL)
            bridge.poll(b"third")
            await bench.transport.power(on=False)
            bridge.poll(b"asleep")
            polls = [sign for sign in bench.signs if isinstance(sign, Polled)]
            assert [poll.outcome.said for poll in polls] == [b"first", b"second", b"third"]
            assert polls[0].outcome.end_ns <= polls[1].outcome.start_ns

    run(main())


def test_a_stop_that_nobody_waits_for_does_not_hide_the_next_frames() -> None:
    async def main() -> None:
        async with Bench() as bench:
            await bench.transport.start_frames(POLL)
            stopping = asyncio.create_task(bench.transport.stop_frames())
            await asyncio.sleep(0.0001)
            stopping.cancel()
            await bench.transport.start_frames(POLL)
            bench.bridge.poll(b"seen")
            assert [sign.outcome.said for sign in bench.signs if isinstance(sign, Polled)] == [b"seen"]

    run(main())


def test_whoever_listens_may_fail() -> None:
    async def main() -> None:
        def broken(sign: Sign) -> None:
            raise ZeroDivisionError

        async with Bench() as bench:
            await bench.transport.start_frames(POLL)
            bench.transport.tell = broken
            bench.bridge.send(encode(0, HEARTBEAT) + encode(0, HEARTBEAT))
            await bench.works()
            loop = asyncio.get_running_loop()
            problems = loop.problems  # type: ignore[attr-defined]
            assert [type(problem["exception"]) for problem in problems] == [ZeroDivisionError] * 2
            problems.clear()

    run(main())


HEARTBEAT = protocol.Heartbeat(100_000_000, 0, 1, 2, 3, 4, 5)


# garbage


def test_garbage_between_frames_is_counted() -> None:
    async def main() -> None:
        async with Bench() as bench:
            bench.bridge.send(b"\5garbage\0" * 3)
            await bench.works()
            bench.bridge.beat()
            assert bench.transport.bad_frames == 3
            [heartbeat] = [sign for sign in bench.signs if isinstance(sign, Heartbeat)]
            assert heartbeat.counters == {
                "bad_frames": 1,
                "lens_breaks": 2,
                "polls": 3,
                "late_frames": 4,
                "dropped": 5,
                "host_bad_frames": 3,
            }

    run(main())


# is it still there?


def test_silence_is_a_loss() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.transport.open()
        began = now()
        bench.bridge.beat(3)
        await asyncio.sleep(2.5)
        bench.bridge.mute = True
        heard = now() - 0.5
        call = asyncio.create_task(asyncio.wait_for(bench.transport.transact(turns()), 60))
        await asyncio.sleep(0)
        with pytest.raises(TransportTimeoutError):
            await call
        with pytest.raises(TransportLostError, match=r"the bridge has said nothing for 4\.5 s") as caught:
            await bench.transport.transact(turns())
        assert now() - heard == near(SILENCE_S)
        assert now() - began == near(2 + SILENCE_S)
        [lost] = bench.lost
        assert caught.value.__cause__ is lost.error
        with pytest.raises(TransportLostError) as again:
            await bench.transport.power(on=False)
        assert again.value.__cause__ is lost.error
        assert bench.stream.closed == 1
        await bench.transport.close()
        bench.bridge.mute = False
        await bench.transport.open()
        await bench.works()
        await bench.transport.close()

    run(main())


def test_every_waiting_call_ends_with_the_loss() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.transport.open()
        calls = [asyncio.create_task(bench.transport.transact(numbered(number))) for number in range(4)]
        await asyncio.sleep(0.0001)
        bench.stream.unplug()
        await asyncio.wait(calls)
        errors = [call.exception() for call in calls]
        assert all(isinstance(error, TransportLostError) for error in errors)
        assert len({id(error) for error in errors}) == 4
        assert {str(error) for error in errors} == {"memory: is gone"}
        assert len(bench.lost) == 1
        await bench.transport.close()

    run(main())


@pytest.mark.parametrize("asleep_s", [0.0, 30.0])
def test_a_bridge_that_has_started_anew_is_lost(asleep_s: float) -> None:
    async def main() -> None:
        bench = Bench()
        await bench.transport.open()
        bench.bridge.beat(-1)
        await asyncio.sleep(2.5)
        bench.bridge.start_s, bench.bridge.boot_id = now() - asleep_s, 0x4321
        began = now()
        await asyncio.sleep(1)
        with pytest.raises(TransportLostError, match="the bridge has started anew; open it again"):
            await bench.transport.transact(turns())
        assert now() - began < 1.1
        assert len(bench.lost) == 1
        assert (await bench.transport.open()).boot_id == 0x4321
        await bench.transport.close()

    run(main())


def test_a_transaction_tells_of_a_new_start_too() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.transport.open()
        bench.bridge.start_s, bench.bridge.boot_id = now(), 0x4321
        await bench.transport.transact(turns())
        await asyncio.sleep(0.1)
        assert len(bench.lost) == 1
        await bench.transport.close()

    run(main())


def test_a_late_heartbeat_is_no_new_start() -> None:
    async def main() -> None:
        async with Bench() as bench:
            bench.bridge.beat(-1)
            frame = encode(0, protocol.Heartbeat(bench.bridge.now_us(), 0, 0, 0, 0, 0, 0))
            await asyncio.sleep(1.1)
            bench.bridge.heard.clear()
            bench.bridge.drop[Hello] = 3
            bench.bridge.send(frame)
            bench.bridge.send(frame)
            await asyncio.sleep(1.5)
            assert bench.bridge.requests.count(Hello()) == 3
            bench.bridge.send(frame)
            await asyncio.sleep(0.5)
            assert bench.bridge.requests.count(Hello()) == 4
            assert bench.lost == []
            await bench.works()

    run(main())


# the clock


@pytest.mark.parametrize("rate", [1.0, 1 + 100e-6, 1 - 100e-6])
def test_the_clocks_stay_together_for_hours(rate: float) -> None:
    """Within half an exchange and what the clocks run apart between two of them; and times never go back."""

    async def main() -> None:
        bench = Bench()
        bench.bridge.rate = rate
        bench.bridge.start_s = now() - 100
        async with bench:
            bench.bridge.beat(-1)
            await bench.transport.start_frames(POLL)
            last_ns = 0
            for minute in range(120):
                await asyncio.sleep(59.9 + 0.001 * (minute % 7))
                true_ns = bench.transport.now_ns()
                bench.bridge.poll(b"")
                poll = bench.signs.pop()
                assert isinstance(poll, Polled)
                assert abs(poll.outcome.end_ns - true_ns) < 1_000_000
                assert last_ns <= poll.outcome.start_ns <= poll.outcome.end_ns <= true_ns
                last_ns = poll.outcome.end_ns
                bench.signs.clear()

    run(main())


# closing


@pytest.mark.parametrize("how", ["well", "mute", "stuck"])
def test_closing_stops_the_frames_within_its_deadline(how: str) -> None:
    async def main() -> None:
        async with Bench() as bench:
            await bench.transport.start_frames(POLL)
            bench.bridge.heard.clear()
            bench.bridge.mute, bench.stream.stuck = how == "mute", how == "stuck"
            calls = [asyncio.create_task(bench.transport.transact(numbered(number))) for number in range(2)]
            await asyncio.sleep(0)
            began = now()
            await bench.transport.close()
            assert now() - began <= CLOSE_S
            assert (Stop() in bench.bridge.requests) is (how == "well")
            first, second = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(first, Outcome if how == "well" else TransportLostError)
            assert isinstance(second, TransportLostError)
            assert bench.lost == []

    run(main())


def test_a_close_that_is_cancelled_lets_go() -> None:
    async def main() -> None:
        async with Bench() as bench:
            await bench.transport.start_frames(POLL)
            bench.bridge.mute = True
            closing = asyncio.create_task(bench.transport.close())
            await asyncio.sleep(0.1)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert bench.stream.closed == 1

    run(main())


# URLs


def test_urls() -> None:
    for url in ("serial:/dev/ttyACM0", "serial:COM3", "serial:/dev/ttyS0?baud=921600", "socket:bridge.local:4300"):
        assert open_transport(url).url == url
    assert open_transport("socket:[::1]:4300").url == "socket:[::1]:4300"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("usb:1-2", "usb:1-2: no such lens; write "),
        ("serial:", "serial: needs a port, such as serial:/dev/ttyACM0; m43 ports lists"),
        ("serial:/dev/ttyS0?baud=fast", "behind the port may stand ?baud=NUMBER, not baud=fast"),
        ("serial:/dev/ttyS0?speed=9600", "not speed=9600"),
        ("socket:bridge", "write socket:HOST:PORT, such as"),
        ("socket:bridge:http", "write socket:HOST:PORT, such as"),
        ("socket::4300", "write socket:HOST:PORT, such as"),
        ("socket:bridge:70000", "write socket:HOST:PORT, such as"),
    ],
)
def test_wrong_urls(url: str, told: str) -> None:
    with pytest.raises(TransportError) as caught:
        open_transport(url)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_scheme_that_is_unknown_names_those_there_are() -> None:
    with pytest.raises(TransportError) as caught:
        open_transport("usb:1-2")
    assert all(f"{scheme}:" in str(caught.value) for scheme in TRANSPORTS)


# the log


def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bench = Bench()
        await bench.transport.open()
        await bench.transport.transact(turns())
        bench.stream.unplug()
        await asyncio.sleep(0)
        await bench.transport.close()

    with caplog.at_level(logging.DEBUG, "m43drivers"):
        run(main())
    states = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert states == ["memory:: open: fake, firmware 0.0, start 00001234", "memory:: lost: memory: is gone"]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert any("> " in line and "c1 80 01 06" in line for line in told)
    assert any("< " in line and "c1 80 01 06" in line for line in told)
    assert requests.__name__ in {record.name for record in caplog.records}
