"""Fields in bulk equal fields by construct, for every message and for any bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from construct import Int16ub, Int24ul
from hypothesis import given, settings
from hypothesis import strategies as st

from m43drivers.bulk.columns import DATA_AT
from m43drivers.bulk.fields import columns_of
from m43proto import Message, argument, message, wire
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.schema import Part
from m43proto.shapes import SHAPES, Shape


@message("C1 A1", evidence="confirmed", source="a test")
class Odd(Message):
    """Has layouts of construct that numpy has no type for, and the other byte order."""

    arguments: int = argument(Int16ub, "big-endian")
    three: int = wire(Int24ul, "three bytes")
    word: int = wire(Int16ub, "big-endian")


KINDS = [kind for kind in (*(PUBLIC | PROVISIONAL), Odd) if kind.spec.shape is not Shape.COMPLETE]


def block_size(kind: type[Message]) -> int:
    size = kind.spec.part_size(Part.BLOCK)
    return 7 if size is None else size


@pytest.mark.parametrize("kind", KINDS, ids=[kind.spec.name for kind in KINDS])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_bytes(kind: type[Message], data: st.DataObject) -> None:
    size = block_size(kind)
    canonical = data.draw(st.lists(st.binary(min_size=2 + size, max_size=2 + size), min_size=1, max_size=3))
    has_block = SHAPES[kind.spec.shape].block_sender is not None
    wires = [
        kind.spec.opcode + one[:2] + bytes(1) + (bytes(DATA_AT - 5) + one[2:] + bytes(1) if has_block else b"")
        for one in canonical
    ]
    rows = np.array([list(one) for one in wires], np.uint8)
    columns = columns_of(kind, size)
    assert columns is not None
    assert [column.field.name for column in columns] == [field.name for field in kind.spec.fields]
    for column in columns:
        values = [column.value(one) for one in column.wires(rows)]
        expected = [getattr(kind.parse_by_construct(one), column.field.name) for one in canonical]
        assert list(map(repr, values)) == list(map(repr, expected))
        if column.raw:
            assert values == [one[column.start : column.stop] for one in wires]


def test_a_block_of_another_size_has_no_columns() -> None:
    status = PUBLIC.named("Status")
    assert status is not None
    assert columns_of(status, 30) is not None
    assert columns_of(status, 29) is None


def test_infinity_stays_infinity() -> None:
    status = PUBLIC.named("Status")
    assert status is not None
    columns = columns_of(status, 30)
    assert columns is not None
    distance = next(column for column in columns if column.field.name == "focus_distance_m")
    assert math.isinf(distance.value(0xFFFF))
