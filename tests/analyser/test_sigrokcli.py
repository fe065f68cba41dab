"""``sigrok:`` with the real sigrok-cli and its demo device, and with programs that misbehave."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from m43drivers.analyser import AnalyserError, LiveStream, NoticeKind, Settings, open_analyser
from m43drivers.analyser.sigrokcli import logic_channels, sigrok
from tests.analyser.support import expanded
from tests.transports.support import descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

real = pytest.mark.skipif(shutil.which("sigrok-cli") is None, reason="sigrok-cli is not installed")
posix = pytest.mark.skipif(os.name != "posix", reason="needs programs with #!")

SHOWN = """
demo - Demo device with 13 channels: D0 D1 D2 D3 D4 D5 D6 D7 A0 A1 A2 A3 A4
Channel groups:
    Logic: channels D0 D1 D2 D3 D4 D5 D6 D7
    Analog: channels A0 A1 A2 A3 A4
    A0: channel A0
"""


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    before = descriptors(), threading.active_count()
    yield
    assert (descriptors(), threading.active_count()) == before


@real
def test_the_demo_device_streams_and_stops() -> None:
    with open_analyser("sigrok:demo", rate_hz=Fraction(1_000_000), channels=7) as live:
        capture = live.capture
        blocks, end = [], 0
        for block in capture.blocks(None):
            blocks.append(block)
            end = block.end
            if end > 100_000:
                live.stop()
        assert live.close()
    assert [label.name for label in capture.labels] == [f"D{bit}" for bit in range(7)]
    assert (capture.sample_rate_hz, capture.tick_ns) == (1e6, Fraction(1000))
    assert not live.notices
    assert end > 100_000
    # The demo device's usual pattern draws sigrok's name; every line of it changes.
    seen = 0
    for block in blocks:
        seen |= int(block.states.max(initial=0))
    assert seen


@real
def test_what_sigrok_cli_says_is_passed_on() -> None:
    with pytest.raises(AnalyserError) as caught:
        open_analyser("sigrok:no-such-driver")
    text = "sigrok:no-such-driver: sigrok-cli cannot use this device: Driver no-such-driver not found."
    assert str(caught.value) == text


@real
def test_more_channels_than_there_are() -> None:
    with pytest.raises(AnalyserError, match="expected 1 to 8 channels, found 9"):
        open_analyser("sigrok:demo", channels=9)


def test_logic_channels_are_told_from_others() -> None:
    assert logic_channels(SHOWN) == [f"D{bit}" for bit in range(8)]
    assert logic_channels("fx2lafw:conn=1.4 - sigrok FX2 with 2 channels: D0 D1\nSupported ...\n") == ["D0", "D1"]
    assert logic_channels("") == []


def program(folder: Path, streaming: str) -> str:
    path = folder / "sigrok-cli"
    shown = "x - X with 8 channels: D0 D1 D2 D3 D4 D5 D6 D7"
    path.write_text(f'#!/bin/sh\ncase "$*" in *--show*) echo "{shown}"; exit;; esac\n{streaming}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@posix
@pytest.mark.parametrize(
    ("streaming", "text"),
    [
        ("printf 'abc'; echo 'sr: device went away' >&2; exit 1", "sigrok-cli ended by itself (sr: device went away)"),
        ("printf 'abc'; exit 3", "sigrok-cli ended by itself (exit code 3)"),
    ],
)
def test_a_program_that_ends_by_itself(streaming: str, text: str, tmp_path: Path) -> None:
    with LiveStream(sigrok("x", Settings(), program=program(tmp_path, streaming))) as live:
        levels, (notice,) = expanded(live.items())
    assert levels == [97, 98, 99]
    assert (notice.kind, notice.tick, notice.until, notice.text) == (NoticeKind.LOST, 3, None, text)


@posix
def test_a_program_that_does_not_stop_is_ended_by_force(tmp_path: Path) -> None:
    began_s = time.monotonic()
    path = program(tmp_path, "trap '' TERM; printf a; exec 1>&2; while :; do sleep 0.1; done")
    with LiveStream(sigrok("x", Settings(), program=path)) as live:
        next(live.items())
        live.stop()
        assert live.close(4)
    assert time.monotonic() - began_s < 4


@posix
def test_rate_and_channels_are_given_to_the_program(tmp_path: Path) -> None:
    path = program(tmp_path, f"echo $* > {tmp_path}/asked; printf a; cat > {tmp_path}/pressed")
    with LiveStream(sigrok("ols,conn=/dev/x", Settings(channels=3), program=path)) as live:
        items = live.items()
        next(items)
        live.stop()
        list(items)
    asked = (tmp_path / "asked").read_text()
    assert asked == "-d ols:conn=/dev/x --config samplerate=8000000 -C D0,D1,D2 --continuous -O binary\n"
    assert (tmp_path / "pressed").read_bytes() == b"\n"


def test_addresses_and_programs_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnalyserError, match=r"expected sigrok:DRIVER\[,KEY=VALUE...\]"):
        open_analyser("sigrok:-h")
    with pytest.raises(AnalyserError, match="sigrok-cli is not on this machine; on Debian: apt install sigrok-cli"):
        sigrok("demo", Settings(), program="no-such-program")
