"""Records are the standard library's frozen dataclasses in all that can be seen of them."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

import m43proto
from m43proto.records import record


def twins(**options: Any) -> list[Any]:
    """Return the same class as a record and as a dataclass."""

    def made(decorate: Any) -> Any:
        class Point:
            """A place."""

            kind: ClassVar[str] = "place"
            x: int
            y: int = 2
            marks: tuple[int, ...] = field(default=(), repr=False, compare=False)
            tags: list[str] = field(default_factory=list)

            def __post_init__(self) -> None:
                if self.x < 0:
                    raise ValueError("x must not be negative")

        return decorate(frozen=True, slots=True, **options)(Point)

    return [made(record), made(dataclass)]


def outcome(act: Any) -> Any:
    """Return what an act gives, or its error."""
    try:
        return act()
    except Exception as error:
        return type(error), str(error).replace("test_records.", "")


LOOKS: dict[str, Any] = {
    "repr": lambda made: repr(made(x=1, tags=["a"])).rpartition(".")[2],
    "equal": lambda made: made(x=1) == made(x=1, marks=(3,)),
    "unequal": lambda made: made(x=1) == made(x=2),
    "others": lambda made: made(x=1) == 1,
    "missing": lambda made: made(),
    "unknown": lambda made: made(x=1, z=2),
    "checked": lambda made: made(x=-1),
    "set": lambda made: setattr(made(x=1), "x", 2),
    "deleted": lambda made: delattr(made(x=1), "x"),
    "replaced": lambda made: dataclasses.asdict(dataclasses.replace(made(x=1), y=5)),
    "replaced by copy": lambda made: copy.replace(made(x=1), y=5).y,  # type: ignore[attr-defined]  # from 3.13 on
    "copied": lambda made: copy.copy(made(x=1)) == made(x=1),
    "own lists": lambda made: made(x=1).tags is made(x=1).tags,
    "slots": lambda made: made.__slots__,
    "matching": lambda made: made.__match_args__,
    "fields": lambda made: [(one.name, one.type, one.repr, one.compare) for one in dataclasses.fields(made)],
    "signature": lambda made: [one.replace(default=0) for one in inspect.signature(made).parameters.values()],
    "class variables": lambda made: (made.kind, made(x=1).kind),
    "no dictionary": lambda made: made(x=1).__dict__,
    "parameters": lambda made: (made.__dataclass_params__.frozen, made.__dataclass_params__.eq),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("options", [{}, {"kw_only": True}, {"eq": False}], ids=str)
def test_a_record_is_what_a_dataclass_is(options: dict[str, Any], look: str) -> None:
    quick, usual = (outcome(lambda made=made: LOOKS[look](made)) for made in twins(**options))
    assert quick == usual


@record(frozen=True, slots=True)
class Pair:
    """Two of something."""

    one: int
    other: str = "b"


@record(frozen=True, slots=True)
class Nothing:
    """A record of nothing."""


@record(frozen=True, slots=True, eq=False)
class Itself:
    """Equal to nothing but itself."""

    one: int


@record(frozen=True, slots=True)
class Own:
    """One that shows and counts itself in its own way."""

    one: int

    def __repr__(self) -> str:
        return "own"

    def __hash__(self) -> int:
        return 7


def test_hashes_agree_with_equality() -> None:
    assert len({Pair(1), Pair(1, "b"), Pair(2), Pair(1, "c")}) == 3
    assert hash(Nothing()) == hash(Nothing())
    assert Nothing() == Nothing()
    assert Itself(1) != Itself(1)
    assert len({Itself(1), Itself(1)}) == 2


def test_a_record_goes_to_another_process_and_back() -> None:
    assert pickle.loads(pickle.dumps(Pair(3, "x"))) == Pair(3, "x")
    assert copy.deepcopy(Pair(3)) == Pair(3)


def test_a_record_is_replaced_by_what_differs() -> None:
    replaced: Any = Pair(1).__replace__(other="c")  # type: ignore[attr-defined]  # what `copy.replace` calls, from 3.13 on
    assert replaced == Pair(1, "c")


def test_what_a_class_defines_itself_stays() -> None:
    assert (repr(Own(1)), hash(Own(1)), Own(1) == Own(1)) == ("own", 7, True)


def test_matching_takes_a_record_apart() -> None:
    match Pair(1, "c"):
        case Pair(one, other):
            assert (one, other) == (1, "c")


@dataclass(frozen=True)
class _Base:
    one: int


class _NotForTheConstructor:
    one: int = field(init=False, default=1)


class _Changeable:
    one: Any = []  # noqa: RUF012  # what is refused


class _OutOfOrder:
    one: int = 1
    other: int


@pytest.mark.parametrize(
    ("options", "base", "reason"),
    [
        ({"frozen": False, "slots": True}, object, "is frozen, has slots"),
        ({"frozen": True, "slots": False}, object, "is frozen, has slots"),
        ({"frozen": True, "slots": True}, _Base, "no dataclass for a base"),
    ],
)
def test_what_is_no_record_is_refused(options: dict[str, bool], base: type, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        record(**options)(type("Odd", (base,), {"__annotations__": {}}))


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (_NotForTheConstructor, "given to its constructor"),
        (_Changeable, "the default of one can change"),
        (_OutOfOrder, "other has no default"),
    ],
)
def test_a_field_that_the_constructor_cannot_take_is_refused(declared: type, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        record(frozen=True, slots=True)(declared)


def test_a_record_without_an_order_of_its_fields_needs_none() -> None:
    made: Any = record(frozen=True, slots=True, kw_only=True)(_OutOfOrder)
    assert made(other=2).one == 1


def test_frozen_data_of_the_protocol_are_records() -> None:
    """Its modules are imported at every start; the few classes that are more than plain fields are known."""
    for module in pkgutil.iter_modules(m43proto.__path__):
        importlib.import_module(f"m43proto.{module.name}")
    frozen: list[Any] = [
        one
        for name, module in list(vars(m43proto).items())
        if inspect.ismodule(module)
        for one in vars(module).values()
        if inspect.isclass(one) and dataclasses.is_dataclass(one) and one.__module__ == f"m43proto.{name}"
    ]
    slow = {one.__name__ for one in frozen if one.__dataclass_params__.frozen and not hasattr(one, "_compared")}
    assert len(frozen) > 30
    assert slow == {"Catalogue"}  # It has a constructor of its own.
