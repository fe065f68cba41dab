"""Recording while it runs: what is read back is what was seen, whenever and however the recording ended."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from m43drivers.analyser import Notice, NoticeKind, recorder
from m43drivers.analyser.changes import ChangeFinder
from m43drivers.analyser.recorder import LEAST_BYTES, LiveRecorder
from m43drivers.capture import CaptureError, open_capture
from m43drivers.capture.stream import Block
from m43drivers.capture.writing import sigrok as sigrok_format
from tests.capture.test_sigrok_cli import sigrok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ("CLK", "DATA", "D2")


def blocks_of(samples: NDArray[np.uint8], sizes: list[int]) -> Iterator[Block]:
    finder = ChangeFinder(3)
    at = 0
    for size in itertools.cycle(sizes):
        piece = finder.samples(samples[at : at + size])
        if piece is None:
            return
        yield piece.block
        at += size


def noise(count: int, seed: int, *, hold: int = 1) -> NDArray[np.uint8]:
    return np.repeat(np.random.default_rng(seed).integers(0, 8, count // hold, np.uint8), hold)


def samples_in(path: Path) -> NDArray[np.uint8]:
    """Return the samples of a session of three lines."""
    capture = open_capture(path)
    rate_hz = int(capture.sample_rate_hz or 0)
    count = capture.end_ns * rate_hz // 10**9 + 1
    found = np.zeros(count, np.uint8)
    for bit, channel in enumerate(capture.channels):
        toggles = np.zeros(count, np.uint8)
        toggles[channel.edges_ns * rate_hz // 10**9] = 1
        found |= ((np.cumsum(toggles) + channel.initial) & 1).astype(np.uint8) << bit
    return found


@pytest.mark.parametrize("sizes", [[100_000], [1, 7, 5000], [30_001]])
def test_what_was_seen_is_read_back(sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "ENTRY_BYTES", 20_000)
    samples = noise(100_000, 1, hold=3)
    with LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000, source="script") as recording:
        for block in blocks_of(samples, sizes):
            recording.take(block)
        result = recording.close()
    assert np.array_equal(samples_in(tmp_path / "a.sr"), samples)
    assert (result.paths, result.ticks, result.full, result.lost_ticks, result.error) == (
        (tmp_path / "a.sr",),
        len(samples),
        False,
        0,
        None,
    )
    capture = open_capture(tmp_path / "a.sr")
    assert [channel.name for channel in capture.channels] == list(NAMES)
    assert capture.provenance.details["comment"] == "Recorded live by m43proto from script."
    assert [path.name for path in tmp_path.iterdir()] == ["a.sr"]


@pytest.mark.skipif(shutil.which("sigrok-cli") is None, reason="sigrok-cli is not installed")
def test_sigrok_cli_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "ENTRY_BYTES", 20_000)
    samples = noise(50_000, 2)
    with LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000) as recording:
        for block in blocks_of(samples, [777]):
            recording.take(block)
    assert sigrok("-i", tmp_path / "a.sr", "-O", "binary") == samples.tobytes()


def test_holes_hold_the_levels_and_stand_in_the_comment(tmp_path: Path) -> None:
    with LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000, source="sump:x") as recording:
        recording.take(Block(np.array([0, 2]), np.array([1, 5], np.uint8), 3))
        recording.take(Notice(NoticeKind.GAP, 4, 8, False, "armed again"))
        recording.take(Block(np.array([8]), np.array([2], np.uint8), 9))
        recording.take(Notice(NoticeKind.LOST, 10, None, True, "unplugged"))
    assert samples_in(tmp_path / "a.sr").tolist() == [1, 1, 5, 5, 5, 5, 5, 5, 2, 2]
    comment = open_capture(tmp_path / "a.sr").provenance.details["comment"]
    holes = "0.000004 s to 0.000008 s (gap), 0.000010 s to the end (lost)"
    assert comment == f"Recorded live by m43proto from sump:x. Not known, levels held: {holes}."


def test_a_size_is_kept_and_ends_the_recording(tmp_path: Path) -> None:
    samples = noise(4 << 20, 3)
    with LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000, max_bytes=LEAST_BYTES, capacity=1 << 30) as recording:
        for block in blocks_of(samples, [100_000]):
            recording.take(block)
        result = recording.close()
        assert recording.ended
    size = (tmp_path / "a.sr").stat().st_size
    assert 0.8 * LEAST_BYTES < size <= LEAST_BYTES
    assert result.full
    found = samples_in(tmp_path / "a.sr")
    assert len(found) == result.ticks
    assert np.array_equal(found, samples[: len(found)])


def test_a_ring_of_files_keeps_the_newest(tmp_path: Path) -> None:
    samples = noise(8 << 20, 4)
    with LiveRecorder(
        tmp_path / "a.sr", NAMES, 1_000_000, max_bytes=3 * LEAST_BYTES, files=3, capacity=1 << 30
    ) as recording:
        for block in blocks_of(samples, [100_000]):
            recording.take(block)
        result = recording.close()
    assert sorted(tmp_path.iterdir()) == sorted(result.paths)
    assert len(result.paths) == 3
    assert result.paths[0].name > "a-0001.sr"
    assert sum(path.stat().st_size for path in result.paths) <= 3 * LEAST_BYTES
    found = np.concatenate([samples_in(path) for path in result.paths])
    assert len(found) == result.ticks
    assert np.array_equal(found, samples[-len(found) :])
    comment = open_capture(result.paths[-1]).provenance.details["comment"]
    begin_s = (len(samples) - len(samples_in(result.paths[-1]))) / 1e6
    assert comment.endswith(f"It begins {begin_s:.6f} s after the start of the recording.")
    assert not result.full


class Disk:
    """A disk that stands still from its first write on, until it is let go.

    Attributes:
        goes: set it, and the disk goes on.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes = threading.Event()
        self._news = threading.Condition()
        self._begun = self._done = 0
        usual = recorder.SessionFile.write

        def write(file: recorder.SessionFile, starts: Any, states: Any, ticks: int) -> None:
            self._tell(file.ticks + ticks, file.ticks)
            assert self.goes.wait(30)
            usual(file, starts, states, ticks)
            self._tell(file.ticks, file.ticks)

        monkeypatch.setattr(recorder.SessionFile, "write", write)

    def wait_begun(self, ticks: int) -> None:
        """Wait until so many samples are written, or being written."""
        with self._news:
            assert self._news.wait_for(lambda: self._begun >= ticks, 30)

    def wait_done(self, ticks: int) -> None:
        """Wait until so many samples are written."""
        with self._news:
            assert self._news.wait_for(lambda: self._done >= ticks, 30)

    def _tell(self, begun: int, done: int) -> None:
        with self._news:
            self._begun, self._done = begun, done
            self._news.notify_all()


def test_a_slow_disk_loses_whole_blocks_that_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    samples = noise(100_000, 5)
    first, second, *blocks = blocks_of(samples, [5_000])
    with LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000, capacity=8_000) as recording:
        recording.take(first)
        disk.wait_begun(5_000)
        # The second has room behind the first; eight more do not.
        for block in (second, *blocks[:8]):
            recording.take(block)
        disk.goes.set()
        disk.wait_done(10_000)
        for block in blocks[8:]:
            recording.take(block)
            disk.wait_done(block.end + 1)
        result = recording.close()
    assert result.lost_ticks == 40_000
    found = samples_in(tmp_path / "a.sr")
    assert np.array_equal(found[:10_000], samples[:10_000])
    assert set(found[10_000:50_000]) == {samples[9_999]}
    assert np.array_equal(found[50_000:], samples[50_000:])
    comment = open_capture(tmp_path / "a.sr").provenance.details["comment"]
    assert "0.010000 s to 0.050000 s (overrun)" in comment


def test_a_full_disk_ends_the_recording_and_says_where_its_rest_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "ENTRY_BYTES", 20_000)
    usual = sigrok_format.add_entry

    def add_entry(archive: Any, name: str, data: bytes) -> None:
        if name == "logic-1-3":
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(archive, name, data)

    monkeypatch.setattr(recorder, "add_entry", add_entry)
    with LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000) as recording:
        for block in blocks_of(noise(100_000, 6), [5_000]):
            recording.take(block)
        result = recording.close()
    assert recording.ended
    (rest,) = tmp_path.iterdir()
    assert result.paths == ()
    assert str(result.error) == (
        f"{tmp_path / 'a.sr'}: cannot be written (No space left on device); check the folder, its permissions and its"
        f" room; what was recorded lies in {rest}"
    )


def test_nothing_recorded_leaves_nothing(tmp_path: Path) -> None:
    with LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000) as recording:
        assert recording.close().paths == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_bytes": 1000}, "expected at least 1000000 bytes a file, found 1000"),
        ({"max_bytes": 2 << 20, "files": 3}, "expected at least 1000000 bytes a file, found 699050"),
        ({"files": 2}, "expected a size for a ring of files"),
    ],
)
def test_limits_that_cannot_be(limits: dict[str, int], text: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=text):
        LiveRecorder(tmp_path / "a.sr", NAMES, 1_000_000, **limits)  # type: ignore[arg-type]
    with pytest.raises(CaptureError, match="cannot be written"):
        LiveRecorder(tmp_path / "no" / "a.sr", NAMES, 1_000_000)


ENDLESS = """
import itertools, sys
import numpy as np
from m43drivers.analyser.recorder import LiveRecorder
from m43drivers.capture.stream import Block

# Tick t has the level of bit 4 of t on the first line, so that every sample can be checked.
with LiveRecorder(sys.argv[1], ("CLK", "DATA", "D2"), 1_000_000) as recording:
    print("recording", flush=True)
    try:
        for begin in itertools.count(0, 16_000):
            ticks = np.arange(begin, begin + 16_000, 16)
            recording.take(Block(ticks, (ticks >> 4 & 1).astype(np.uint8), begin + 15_999))
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("seed", range(3))
def test_ctrl_c_at_any_moment_leaves_a_valid_session(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "a.sr"
    program = f"import sys; sys.path[:0] = {sys.path!r}\n{ENDLESS}"
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"recording\n"
        time.sleep(random.Random(seed).uniform(0.01, 0.25))
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
    capture = open_capture(path)
    edges = capture.channels[0].edges_ns // 1000
    assert edges.size
    # All edges are where they belong, unless the disk was slower than this program without a brake.
    assert bool(np.all(edges % 16 == 0))
    assert [one.name for one in tmp_path.iterdir()] == ["a.sr"]
