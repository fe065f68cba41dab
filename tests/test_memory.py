"""Memory that is not needed any more goes back to the system."""

from __future__ import annotations

import platform
import sys
from functools import partial

import numpy as np
import pytest

from m43drivers.analyser import ANALYSERS
from m43tools import live as live_module
from m43tools import memory
from m43tools.cli import main
from tests.benchmarks.soak import resident_mib


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have their own ways")
def test_holes_between_small_pieces_are_given_back() -> None:
    """As after a backlog of small pieces, between which something stays."""
    pieces = [np.zeros(300) for _ in range(40_000)]
    kept = pieces[::50]
    full_mib = resident_mib()
    pieces.clear()
    memory.give_back()
    assert resident_mib() < full_mib - 60
    assert len(kept) == 800


def test_where_it_cannot_be_given_back_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    memory._of_glibc.cache_clear()
    memory.give_back()
    memory.keep()
    memory._of_glibc.cache_clear()


def test_sniffing_gives_it_back_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ANALYSERS, "fake", ("tests.analyser.fakesource:fake", "fake:"))
    given: list[int] = []
    monkeypatch.setattr(live_module, "give_back", partial(given.append, 1))
    assert main(["sniff", "--live", "fake:", "--format", "jsonl"]) == 0
    assert not given
    monkeypatch.setattr(live_module, "GIVE_BACK_S", 0)
    assert main(["sniff", "--live", "fake:", "--format", "jsonl"]) == 0
    assert given
