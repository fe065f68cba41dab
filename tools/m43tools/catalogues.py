"""Message catalogues that a user names: built-in, installed by another package, or a Python file.

A file is trusted like any program that its user runs: it is executed. What it declares is what its ``CATALOGUE`` says,
or, without one, every message class that it declares itself.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m43proto.catalogue import Catalogue
from m43proto.errors import DeclarationError
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.schema import Message

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "combined", "named_catalogue"]

ENTRY_POINT_GROUP = "m43proto.catalogues"
"""Packages announce catalogues in this entry point group; each entry is a `Catalogue`."""

BUILT_IN = {"public": PUBLIC, "provisional": PROVISIONAL}


def combined(names: Iterable[str]) -> Catalogue:
    """Return the public catalogue, overridden by the named ones in their order.

    Raises:
        DeclarationError: one of them does not exist, is broken, or conflicts with those before it.
    """
    return reduce(_joined, names, PUBLIC)


def _joined(catalogue: Catalogue, name: str) -> Catalogue:
    try:
        return catalogue | named_catalogue(name)
    except DeclarationError as error:
        text = str(error)
        raise DeclarationError(text if text.startswith("--catalogue") else f"--catalogue {name}: {text}") from None


def named_catalogue(name: str) -> Catalogue:
    """Return the catalogue of a name or a file.

    Raises:
        DeclarationError: there is none, or it is broken.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name.endswith(".py") or "/" in name:
        return _from_file(Path(name))
    return _from_package(name)


def entry_points(*, group: str) -> Iterable[EntryPoint]:
    """Return what installed packages announce; looking for it is slow to import, and seldom asked for."""
    from importlib import metadata

    return metadata.entry_points(group=group)


def _from_package(name: str) -> Catalogue:
    installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in installed:
        known = ", ".join([*BUILT_IN, *installed])
        raise DeclarationError(f"no catalogue is called {name}; known: {known}; a file must end in .py")
    try:
        found = installed[name].load()
    except Exception as error:
        raise DeclarationError(f"{installed[name].value} cannot be loaded: {_reason(error)}") from None
    return _checked(found, installed[name].value)


def _from_file(path: Path) -> Catalogue:
    import runpy

    if not path.is_file():
        raise DeclarationError("no such file")
    try:
        names = runpy.run_path(str(path), run_name=f"m43_catalogue_{path.stem}")
    except Exception as error:
        raise DeclarationError(f"the file is broken: {_reason(error, path)}") from None
    if "CATALOGUE" in names:
        return _checked(names["CATALOGUE"], "CATALOGUE")
    return _declared(path, names)


def _declared(path: Path, names: dict[str, Any]) -> Catalogue:
    own = [
        value
        for value in names.values()
        if isinstance(value, type) and issubclass(value, Message) and value.__module__ == names["__name__"]
    ]
    if not own:
        raise DeclarationError("the file declares no @message and no CATALOGUE")
    return Catalogue(path.stem, own)


def _checked(found: object, where: str) -> Catalogue:
    if not isinstance(found, Catalogue):
        raise DeclarationError(f"{where} is a {type(found).__name__}, not a m43proto.Catalogue")
    return found


def _reason(error: Exception, path: Path | None = None) -> str:
    """Return what went wrong in one line, with the line of the file where it did."""
    lines = []
    traceback = error.__traceback__
    while traceback is not None:
        if path is not None and traceback.tb_frame.f_code.co_filename == str(path):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    at = f"line {lines[-1]}: " if lines else ""
    text = " ".join(str(error).split())
    return f"{at}{text}" if isinstance(error, DeclarationError) else f"{at}{type(error).__name__}: {text}"
