"""Packages that only an extra installs, imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from m43proto.errors import M43Error

__all__ = ["MissingExtraError", "needed"]


class MissingExtraError(M43Error):
    """A package that this needs is not installed; the text holds the command that installs it."""


def needed(module: str, extra: str) -> Any:
    """Import a module of a package that only an extra installs.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        package = module.partition(".")[0]
        raise MissingExtraError(f"this needs {package}; install it with: pip install 'm43proto[{extra}]'") from None
