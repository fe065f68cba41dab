"""Whole or not at all: a file or a folder is made under another name, and takes its own when it is done."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from m43drivers.capture.model import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to make a file or folder at; in the end it replaces `path`, or is removed on any error.

    Raises:
        CaptureError: a folder is there already; nobody's folder is removed here.
    """
    if path.is_dir():
        raise CaptureError(path, "a folder of this name is there already; remove it or choose another name")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
