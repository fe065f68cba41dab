"""Bytes of analysers -> changes: whole, byte by byte, cut anywhere; against encoders written from the protocols."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m43drivers.analyser.changes import ChangeFinder, PackedChanges
from m43drivers.analyser.model import AnalyserError
from m43drivers.analyser.pico import End, PicoDecoder, board_of
from m43drivers.analyser.sump import Abilities, abilities_of, metadata_end, plan_of, runs_of
from tests.analyser.encoders import pico_narrow, pico_wide, sump_buffer
from tests.analyser.support import cut, expanded, packed

CUTS = st.lists(st.integers(0, 10_000), max_size=12)


def samples(bits: int) -> st.SearchStrategy[list[int]]:
    """Samples with long and short stretches."""
    run = st.tuples(st.integers(0, 2**bits - 1), st.one_of(st.integers(1, 9), st.integers(1, 4000)))
    return st.lists(run, min_size=1, max_size=12).map(lambda runs: [value for value, n in runs for _ in range(n)])


@given(st.integers(1, 8).flatmap(lambda unit: st.tuples(st.just(unit), samples(8 * unit))), CUTS)
def test_packed_samples(unit_and_samples: tuple[int, list[int]], cuts: list[int]) -> None:
    unit, given_samples = unit_and_samples
    changes = PackedChanges(unit, 8 * unit)
    pieces = [changes.feed(piece) for piece in cut(packed(given_samples, unit), cuts)]
    assert expanded(pieces)[0] == given_samples
    assert changes.odd == 0


def test_packed_samples_byte_by_byte_and_masked() -> None:
    changes = PackedChanges(2, 10)
    data = packed([0xFFFF, 0xFC01, 0x0001, 0x0002], 2) + b"\x07"
    pieces = [changes.feed(data[at : at + 1]) for at in range(len(data))]
    assert expanded(pieces)[0] == [0x3FF, 1, 1, 2]
    assert changes.odd == 1
    changes.cut()
    assert changes.odd == 0


def test_after_a_gap_the_time_has_gone_on() -> None:
    finder = ChangeFinder(8)
    first = finder.samples(np.array([1, 1], np.uint8))
    finder.skip(10)
    same = finder.samples(np.array([1, 1], np.uint8))
    other = finder.samples(np.array([2], np.uint8))
    assert first is not None
    assert same is not None
    assert other is not None
    assert (same.start, same.before, same.block.ticks.size, same.block.end) == (12, 1, 0, 13)
    assert (other.start, other.before, other.block.ticks.tolist()) == (14, 1, [14])
    opening = same.opening()
    assert (opening.ticks.tolist(), opening.states.tolist(), opening.end) == ([12], [1], 13)
    assert other.opening() is other.block


@given(samples(4), CUTS, st.integers(1, 4))
def test_pico_with_few_lines(given_samples: list[int], cuts: list[int], channels: int) -> None:
    wanted = [sample & (1 << channels) - 1 for sample in given_samples]
    decoder = PicoDecoder(channels)
    data = pico_narrow(wanted)
    pieces = [decoder.feed(piece) for piece in cut(data, cuts)]
    assert expanded(pieces)[0] == wanted
    assert (decoder.received, decoder.end) == (len(data), None)


@given(st.integers(5, 21).flatmap(lambda bits: st.tuples(st.just(bits), samples(bits))), CUTS)
def test_pico_with_many_lines(bits_and_samples: tuple[int, list[int]], cuts: list[int]) -> None:
    bits, wanted = bits_and_samples
    decoder = PicoDecoder(bits)
    data = pico_wide(wanted, bits)
    pieces = [decoder.feed(piece) for piece in cut(data, cuts)]
    assert expanded(pieces)[0] == wanted
    assert (decoder.received, decoder.end) == (len(data), None)


@pytest.mark.parametrize("channels", [4, 7, 16])
def test_pico_byte_by_byte_with_its_count(channels: int) -> None:
    wanted = [1] * 3 + [2] + [1] * 700 + [3] * 65 + [0]
    data = pico_narrow(wanted) if channels <= 4 else pico_wide(wanted, channels)
    sent = data + b"$%d+" % len(data) + b"trailing"
    decoder = PicoDecoder(channels)
    pieces = [decoder.feed(sent[at : at + 1]) for at in range(len(sent))]
    assert expanded(pieces)[0] == wanted
    assert (decoder.end, decoder.counted, decoder.count_is_right) == (End.COUNTED, len(data), True)


def test_pico_counts_that_disagree_and_counts_that_wrap() -> None:
    decoder = PicoDecoder(7)
    decoder.feed(b"\x81\x82$3+")
    assert (decoder.counted, decoder.received, decoder.count_is_right) == (3, 2, False)
    decoder = PicoDecoder(7)
    decoder.feed(b"\x81")
    decoder.received = 2**32 - 5
    decoder.feed(b"$-5+")
    assert decoder.count_is_right is True


@pytest.mark.parametrize(
    ("data", "channels", "end", "ticks"),
    [
        (b"\x81\x82!!!", 7, End.OVERFLOW, [1, 2]),
        (b"\x81\x0a\x82", 7, End.GARBAGE, [1]),
        (b"\x7f\x81", 7, End.GARBAGE, []),
        (b"\x7f\x81", 4, End.GARBAGE, []),
        (b"\x81\x80\x83\x30\x80", 14, End.GARBAGE, [1]),
        (b"\x83\x30\x80", 14, End.GARBAGE, []),
    ],
)
def test_pico_ends(data: bytes, channels: int, end: End, ticks: list[int]) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        decoder = PicoDecoder(channels)
        found = [decoder.feed(piece) for piece in pieces]
        assert (expanded(found)[0], decoder.end) == (ticks, end)


@given(st.binary(max_size=300), CUTS, st.integers(1, 21))
def test_pico_takes_any_garbage(data: bytes, cuts: list[int], channels: int) -> None:
    whole, pieces = PicoDecoder(channels), PicoDecoder(channels)
    in_one = expanded([whole.feed(data)])[0]
    in_pieces = expanded([pieces.feed(piece) for piece in cut(data, cuts)])[0]
    assert in_one == in_pieces
    assert (whole.end, whole.counted) == (pieces.end, pieces.counted)


def test_boards_say_what_they_are() -> None:
    board = board_of(b"\x00junk*SRPICO,A031D21,02\r\n")
    assert board is not None
    assert (board.channels, board.version) == (21, "02")
    assert board_of(b"SRPICO,A03") is None


@given(st.sampled_from([1, 2, 3, 4]), st.booleans(), st.data())
def test_sump_buffers(groups: int, rle: bool, data: st.DataObject) -> None:
    wanted = data.draw(samples(8 * groups - rle))
    states, counts = runs_of(sump_buffer(wanted, groups, rle=rle), groups, rle=rle)
    piece = ChangeFinder(8 * groups).runs(states, counts)
    assert expanded([piece])[0] == wanted


@given(st.binary(max_size=100), st.integers(1, 4), st.booleans())
def test_sump_buffers_of_garbage_that_break_off(data: bytes, groups: int, rle: bool) -> None:
    states, counts = runs_of(data, groups, rle=rle)
    assert states.size == counts.size <= len(data) // groups
    assert bool(np.all(counts > 0))


METADATA = b"\x01Open Bench\0\x023.07\0\x21\x00\x00\x60\x00\x23\x05\xf5\xe1\x00\x40\x20\x41\x02\x00"


def test_sump_metadata() -> None:
    told = abilities_of(METADATA + b"behind")
    assert told == Abilities("Open Bench", "3.07", 32, 24_576, 100_000_000, 2)
    assert metadata_end(METADATA + b"behind") == len(METADATA)
    for size in range(len(METADATA)):
        assert metadata_end(METADATA[:size]) is None
        abilities_of(METADATA[:size])
    assert abilities_of(b"") == Abilities()
    assert abilities_of(b"\x20\x00\x00\x00\x10\x40\x08\x00").channels == 8


def test_sump_commands() -> None:
    plan = plan_of(Abilities(), Fraction(10_000_000), 7, rle=True, trigger=(1, 0))
    assert (plan.groups, plan.entries, plan.size) == (1, 24_576, 24_576)
    assert [command.hex() for command in plan.commands] == [
        "8009000000",
        "81ff17ff17",
        "823a010000",
        "c001000000",
        "c100000000",
        "c200000008",
    ]
    deep = plan_of(Abilities(memory_bytes=1 << 21), Fraction(100_000_000), 8, rle=False)
    assert [command.hex() for command in deep.commands[:4]] == ["8000000000", "84ffff0700", "83ffff0700", "823a000000"]
    assert plan_of(Abilities(), Fraction(1_000_000), 8, rle=True).groups == 2


@pytest.mark.parametrize(
    ("abilities", "rate_hz", "channels", "text"),
    [
        (Abilities(), 30_000_001, 7, "is no rate of it"),
        (Abilities(fastest_hz=20_000_000), 50_000_000, 7, "up to 20 MHz"),
        (Abilities(channels=8), 1_000_000, 8, "expected 1 to 7 channels with [?]rle=1, found 8"),
        (Abilities(memory_bytes=2), 1_000_000, 7, "2 bytes of memory"),
    ],
)
def test_sump_plans_that_cannot_be(abilities: Abilities, rate_hz: int, channels: int, text: str) -> None:
    with pytest.raises(AnalyserError, match=text):
        plan_of(abilities, Fraction(rate_hz), channels, rle=True)
