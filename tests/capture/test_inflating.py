"""Every inflater gives the same, and what runs ahead in a thread gives what it would give without."""

from __future__ import annotations

import random
import threading
import zlib
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from m43drivers.capture import inflating
from m43drivers.capture.ahead import ahead
from m43drivers.capture.archive import PIECE, Archive
from m43drivers.capture.model import CaptureError
from tests.capture.writers import zip_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def use(name: str, patch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip(name, reason=f"{name} is not installed")
    patch.setattr(inflating, "_module", module)
    patch.setattr(inflating, "ERRORS", (zlib.error, module.error))


@pytest.fixture(params=inflating.MODULES)
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    use(request.param, monkeypatch)


CONTENT = bytes(3 * PIECE) + random.Random(1).randbytes(5000) + b"\5" * PIECE


@pytest.mark.usefixtures("inflater")
def test_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes({"a": CONTENT}))
    with Archive(path) as archive:
        pieces = list(archive.stream("a"))
    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.usefixtures("inflater")
@pytest.mark.parametrize("at", [60, 300, 4000])
def test_damage_is_refused(tmp_path: Path, at: int) -> None:
    data = bytearray(zip_bytes({"a": CONTENT}))
    data[at] ^= 0xFF  # In a run of zeros, a bit alone may say the same from another distance.
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with Archive(path) as archive, pytest.raises(CaptureError, match="entry a: "):
        list(archive.stream("a"))


def test_the_fastest_that_is_there_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(name: str) -> object:
        if name != "zlib":
            raise ImportError(name)
        return import_module(name)

    assert inflating._first() is import_module(inflating.MODULES[0])
    monkeypatch.setattr(inflating, "import_module", imported)
    assert inflating._first() is zlib


def numbers(count: int, fails: bool = False) -> Iterator[int]:
    yield from range(count)
    if fails:
        raise CaptureError("a.sr", "is broken")


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_ahead(count: int) -> None:
    with ahead(numbers(count)) as found:
        assert list(found) == list(range(count))
    assert "read ahead" not in {thread.name for thread in threading.enumerate()}


def test_an_error_ahead_comes_in_its_place() -> None:
    with ahead(numbers(50, fails=True)) as found:
        assert [next(found) for _ in range(50)] == list(range(50))
        with pytest.raises(CaptureError, match="is broken"):
            next(found)


def test_what_is_ahead_ends_when_nobody_wants_it() -> None:
    with ahead(numbers(10**9)) as found:
        assert [next(found) for _ in range(3)] == [0, 1, 2]
    assert "read ahead" not in {thread.name for thread in threading.enumerate()}
