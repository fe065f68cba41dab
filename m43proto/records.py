"""Frozen data: ``@record(frozen=True, slots=True)`` is the standard library's dataclass, made in a tenth of its time.

A dataclass is compiled method by method when its module is imported, and again at every start of a program; the seventy
on the way to the first decoded byte took 50 of the 220 ms of a small capture. Here all methods but the constructor are
the same for all, and what few records are ever asked for is made when it is: the constructor at the first instance,
the `dataclasses.Field` objects at the first `dataclasses.fields`. Type checkers see the dataclass, for nothing else
differs: `dataclasses.fields`, `replace`, `asdict`, matching, copying and pickling work as ever, and an error is a
`dataclasses.FrozenInstanceError`.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as record
    from typing import Self

__all__ = ["declared_fields", "record"]

_T = TypeVar("_T")

_MISSING: Any = dataclasses.MISSING
_Fields: TypeAlias = "dict[str, dataclasses.Field[Any]]"


def _record(*, frozen: bool, slots: bool, eq: bool = True, kw_only: bool = False) -> Callable[[type[_T]], type[_T]]:
    """Make a frozen dataclass with slots of a class.

    Args:
        frozen: True, for this makes no others; it is written out so that type checkers and readers know.
        slots: True, likewise.
        eq: whether instances with equal fields are equal, and hash alike; else each equals itself alone.
        kw_only: whether fields are given by keyword only.

    Raises:
        TypeError: it is not to be frozen with slots, a base is a dataclass, or a field cannot be one of the
            constructor; these want `dataclasses.dataclass`.
    """

    def decorate(cls: type[_T]) -> type[_T]:
        if not (frozen and slots) or any(dataclasses.is_dataclass(base) for base in cls.__bases__):
            raise TypeError(f"{cls.__qualname__}: a record is frozen, has slots, and no dataclass for a base")
        fields = declared_fields(cls)
        keywords = {name for name, field in fields.items() if field.kw_only is True or kw_only}
        _check(cls, fields, keywords)
        common = {name: _Methods.__dict__[name] for name in (*_ALWAYS, *(_EQUAL if eq else ()))}
        namespace: dict[str, Any] = {
            "__match_args__": tuple(name for name in fields if name not in keywords),
            **common,
            **{name: value for name, value in cls.__dict__.items() if name not in {*fields, *_NOT_KEPT}},
            "__slots__": tuple(fields),
            "_declared": fields,
            "_compared": staticmethod(_getter([name for name, field in fields.items() if field.compare])),
            "__init__": _Later(lambda: _add_constructor(made, keywords)),
            "__dataclass_fields__": _Later(lambda: _add_fields(made, eq=eq, kw_only=kw_only)),
            "__dataclass_params__": _Later(lambda: _add_fields(made, eq=eq, kw_only=kw_only)),
        }
        metaclass: Any = type(cls)
        made: Any = metaclass(cls.__name__, cls.__bases__, namespace)
        made.__qualname__ = cls.__qualname__
        return made  # type: ignore[no-any-return]

    return decorate


if not TYPE_CHECKING:  # pragma: no branch  # a type checker never runs it
    record = _record


def declared_fields(cls: type) -> _Fields:
    """Return the fields that a class declares, by name, before it is made a record."""
    fields: _Fields = {}
    for name, kind in cls.__annotations__.items():
        if not str(kind).removeprefix("typing.").startswith("ClassVar"):
            value = cls.__dict__.get(name, _MISSING)
            fields[name] = value if isinstance(value, dataclasses.Field) else dataclasses.field(default=value)
    return fields


def _check(cls: type, fields: _Fields, keywords: set[str]) -> None:
    optional = False
    for name, field in fields.items():
        given = field.default is not _MISSING or field.default_factory is not _MISSING
        if not field.init:
            raise TypeError(f"{cls.__qualname__}: all fields of a record are given to its constructor")
        if type(field.default).__hash__ is None:
            raise TypeError(f"{cls.__qualname__}: the default of {name} can change; it wants a default_factory")
        if optional and not given and name not in keywords:
            raise TypeError(f"{cls.__qualname__}: {name} has no default, but stands behind a field that has one")
        optional |= given and name not in keywords


class _Later:
    """An attribute of a class that is made when it is first asked for.

    Args:
        make: puts the attribute in its place.
    """

    def __init__(self, make: Callable[[], None]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object | None, owner: type) -> Any:
        self._make()
        value = self._owner.__dict__[self._name]
        return value.__get__(instance, owner) if hasattr(value, "__get__") else value


def _add_fields(made: Any, *, eq: bool, kw_only: bool) -> None:
    """Have `dataclasses` say what it knows of a class with these fields."""
    fields: _Fields = made._declared
    types = {name: made.__annotations__[name] for name in fields}
    known: Any = type(made.__name__, (), {"__module__": made.__module__, "__annotations__": types, **fields})
    known = dataclasses.dataclass(init=False, repr=False, eq=eq, kw_only=kw_only, frozen=True)(known)
    made.__dataclass_fields__, made.__dataclass_params__ = known.__dataclass_fields__, known.__dataclass_params__


def _add_constructor(made: Any, keywords: set[str]) -> None:
    """Compile the constructor; a slot's own descriptor sets what `__setattr__` refuses to."""
    fields: _Fields = made._declared
    known: dict[str, Any] = {"_MISSING": _MISSING}
    positional, named, lines = ["self"], list[str](), list[str]()
    for name, field in fields.items():
        known[f"_set_{name}"] = made.__dict__[name].__set__
        given, value = name, name
        if field.default is not _MISSING:
            known[f"_default_{name}"] = field.default
            given = f"{name}=_default_{name}"
        elif field.default_factory is not _MISSING:
            known[f"_make_{name}"] = field.default_factory
            given, value = f"{name}=_MISSING", f"_make_{name}() if {name} is _MISSING else {name}"
        (named if name in keywords else positional).append(given)
        lines.append(f" _set_{name}(self, {value})")
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()")
    parameters = ", ".join([*positional, *(["*"] if named else []), *named])
    exec("\n".join([f"def __init__({parameters}):", *(lines or [" pass"])]), known)
    constructor = known["__init__"]
    constructor.__qualname__ = f"{made.__qualname__}.__init__"
    constructor.__annotations__ = {**{name: made.__annotations__[name] for name in fields}, "return": None}
    made.__init__ = constructor


def _getter(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


class _Methods:
    """The methods that all records share, as `dataclasses` would write them for each."""

    _compared: Callable[[Any], Any]
    _declared: ClassVar[_Fields]

    def __repr__(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name, field in self._declared.items() if field.repr]
        return f"{self.__class__.__qualname__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> list[Any]:
        return [getattr(self, name) for name in self._declared]

    def __setstate__(self, state: list[Any]) -> None:
        for name, value in zip(self._declared, state, strict=True):
            object.__setattr__(self, name, value)

    def __replace__(self, /, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]  # what has these methods is one

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        key = self._compared
        return bool(key(self) == key(other))

    def __hash__(self) -> int:
        return hash(self._compared(self))


_EQUAL = ("__eq__", "__hash__")
_ALWAYS = ("__repr__", "__setattr__", "__delattr__", "__getstate__", "__setstate__", "__replace__")

_NOT_KEPT = ("__dict__", "__weakref__")
"""What a class has for its instances' dictionary, which a record's have not."""
