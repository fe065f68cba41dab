"""The host's side of the link and the bridge's own logic, in one process, over links that do wrong."""

from __future__ import annotations

import asyncio
import random
from dataclasses import fields

import pytest

from m43drivers.streams.faulty import HONEST, FaultyLink, LinkFaults
from m43drivers.transport import Frames, Polled, Sign, TransportError, TransportTimeoutError
from m43drivers.transports import open_transport
from m43proto.exchange import transfers_of
from m43proto.messages import Identify, Status
from m43proto.shapes import Shape
from tests.virtualtime import run

IDENTIFY = tuple(transfers_of(Identify.request(), Shape.READ))
POLL = tuple(transfers_of(Status.request(), Shape.READ))
IDENTITY = bytes.fromhex("ba15000000011000004141413234333834310000000111")


async def identified(url: str, signs: list[Sign]) -> bytes:
    transport = open_transport(url)
    transport.tell = signs.append
    await transport.open()
    try:
        assert await transport.power(on=True)
        said = b""
        for _ in range(20):
            try:
                said = (await transport.transact(IDENTIFY)).said
            except TransportTimeoutError:
                continue
            break
        await transport.start_frames(Frames(60, Status.request()))
        await asyncio.sleep(0.5)
        await transport.stop_frames()
        return said
    finally:
        await transport.close()


def test_over_an_honest_link() -> None:
    signs: list[Sign] = []
    said = run(identified("loopback:olympus-14-42", signs))
    assert said[:-1].startswith(IDENTITY[:20])
    polls = [sign for sign in signs if isinstance(sign, Polled)]
    assert 25 <= len(polls) <= 31
    times = [poll.outcome.end_ns for poll in polls]
    assert times == sorted(times)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "wrong", ["dribble=1", "delay_s=0.02", "duplicate=0.1", "loss=0.001", "flip=0.001", "stall=0.05&stall_s=0.1"]
)
def test_over_a_link_that_does_wrong_nothing_wrong_is_believed(wrong: str, seed: int) -> None:
    print(f"seed={seed}")
    honest = run(identified("loopback:olympus-14-42", []))
    signs: list[Sign] = []
    try:
        said = run(identified(f"loopback:olympus-14-42?{wrong}&seed={seed}", signs), seed=seed)
    except TransportError:
        return
    assert said == honest
    expected = run(polled())
    assert {sign.outcome.said for sign in signs if isinstance(sign, Polled)} <= {expected}


async def polled() -> bytes:
    transport = open_transport("loopback:olympus-14-42")
    await transport.open()
    try:
        await transport.power(on=True)
        return (await transport.transact(POLL)).said
    finally:
        await transport.close()


def arrived(faults: LinkFaults, seed: int, pieces: int = 400) -> tuple[bytes, list[tuple[float, bytes]]]:
    rng = random.Random(seed)
    link = FaultyLink(faults, rng)
    sent = [rng.randbytes(10) for _ in range(pieces)]
    got = [one for number, piece in enumerate(sent) for one in link.carry(piece, number * 0.001)]
    return b"".join(sent), got


def test_an_honest_link_carries_all_at_once() -> None:
    sent, got = arrived(HONEST, 1)
    assert b"".join(piece for _, piece in got) == sent
    assert [at_s for at_s, _ in got] == pytest.approx([number * 0.001 for number in range(400)])


@pytest.mark.parametrize("seed", range(5))
def test_what_a_link_does_is_what_it_is_told(seed: int) -> None:
    print(f"seed={seed}")
    for faults in (LinkFaults(loss=0.1), LinkFaults(duplicate=0.1), LinkFaults(flip=0.1), LinkFaults(stall=0.1)):
        sent, got = arrived(faults, seed)
        bytes_got = b"".join(piece for _, piece in got)
        times = [at_s for at_s, _ in got]
        assert times == sorted(times)
        assert got == arrived(faults, seed)[1]
        if faults.loss:
            assert 0.85 * len(sent) < len(bytes_got) < 0.95 * len(sent)
        elif faults.duplicate:
            assert 1.05 * len(sent) < len(bytes_got) < 1.15 * len(sent)
        elif faults.flip:
            assert 0.05 < sum(a != b for a, b in zip(sent, bytes_got, strict=True)) / len(sent) < 0.15
        else:
            assert bytes_got == sent
            assert times[-1] > 10 * faults.stall_s
    _, dribbled = arrived(LinkFaults(dribble=1), seed)
    assert {len(piece) for _, piece in dribbled} == {1}
    assert arrived(LinkFaults(delay_s=0.5), seed)[1][0][0] > 0
    assert {field.name for field in fields(LinkFaults)} > {"loss", "stall_s"}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("loopback:olympus-14-42?speed=3", "no key speed; keys: fault, seed, delay_s"),
        ("loopback:olympus-14-42?loss=much", "loss is a number, not 'much'"),
    ],
)
def test_a_wrong_address_is_refused(url: str, told: str) -> None:
    with pytest.raises(TransportError, match=told):
        open_transport(url)
