"""Frozen data: ``@record(frozen=True, slots=True)`` is the standard library's dataclass, made in a fifth of its time.

A dataclass is compiled method by method when its module is imported, and again at every start of a program; the seventy
on the way to the first decoded byte took 50 of the 220 ms of a small capture. Here the constructor alone is compiled;
the other methods are the same for all. Type checkers see the dataclass, for nothing else differs: `dataclasses.fields`,
`replace`, `asdict`, matching, copying and pickling work as ever, and an error is a `dataclasses.FrozenInstanceError`.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as record

__all__ = ["record"]

_T = TypeVar("_T")

_MISSING: Any = dataclasses.MISSING


def _record(*, frozen: bool, slots: bool, eq: bool = True, kw_only: bool = False) -> Callable[[type[_T]], type[_T]]:
    """Make a frozen dataclass with slots of a class.

    Args:
        frozen: True, for this makes no others; it is written out so that type checkers and readers know.
        slots: True, likewise.
        eq: whether instances with equal fields are equal, and hash alike; else each equals itself alone.
        kw_only: whether fields are given by keyword only.

    Raises:
        TypeError: it is not to be frozen with slots, a base is a dataclass, or the constructor does not take a field;
            these want `dataclasses.dataclass`.
    """

    def decorate(cls: type[_T]) -> type[_T]:
        if not (frozen and slots) or any(dataclasses.is_dataclass(base) for base in cls.__bases__):
            raise TypeError(f"{cls.__qualname__}: a record is frozen, has slots, and no dataclass for a base")
        made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
        fields = dataclasses.fields(made)
        if not all(field.init for field in fields):
            raise TypeError(f"{cls.__qualname__}: all fields of a record are given to its constructor")
        made.__init__ = _constructor(made, fields)
        made._compared = staticmethod(_getter([field.name for field in fields if field.compare]))
        made.__dataclass_params__.frozen, made.__dataclass_params__.eq = True, eq
        for name in (*_ALWAYS, *(_EQUAL if eq else ())):
            if name not in cls.__dict__:
                setattr(made, name, _Methods.__dict__[name])
        return made  # type: ignore[no-any-return]

    return decorate


if not TYPE_CHECKING:  # pragma: no branch  # a type checker never runs it
    record = _record


def _constructor(made: type, fields: tuple[dataclasses.Field[Any], ...]) -> Any:
    """Compile the constructor; a slot's own descriptor sets what `__setattr__` refuses to."""
    known: dict[str, Any] = {"_MISSING": _MISSING}
    positional, keywords, lines = ["self"], list[str](), list[str]()
    for field in fields:
        name = field.name
        known[f"_set_{name}"] = made.__dict__[name].__set__
        given, value = name, name
        if field.default is not _MISSING:
            known[f"_default_{name}"] = field.default
            given = f"{name}=_default_{name}"
        elif field.default_factory is not _MISSING:
            known[f"_make_{name}"] = field.default_factory
            given, value = f"{name}=_MISSING", f"_make_{name}() if {name} is _MISSING else {name}"
        (keywords if field.kw_only else positional).append(given)
        lines.append(f" _set_{name}(self, {value})")
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()")
    parameters = ", ".join([*positional, *(["*"] if keywords else []), *keywords])
    exec("\n".join([f"def __init__({parameters}):", *(lines or [" pass"])]), known)
    constructor = known["__init__"]
    constructor.__qualname__ = f"{made.__qualname__}.__init__"
    constructor.__annotations__ = {**{field.name: field.type for field in fields}, "return": None}
    return constructor


def _getter(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


class _Methods:
    """The methods that all records share, as `dataclasses` would write them for each."""

    _compared: Callable[[Any], Any]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __repr__(self) -> str:
        shown = [f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr]
        return f"{self.__class__.__qualname__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> list[Any]:
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def __setstate__(self, state: list[Any]) -> None:
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        key = self._compared
        return bool(key(self) == key(other))

    def __hash__(self) -> int:
        return hash(self._compared(self))


_EQUAL = ("__eq__", "__hash__")
_ALWAYS = ("__repr__", "__setattr__", "__delattr__", "__getstate__", "__setstate__")
