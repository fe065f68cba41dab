"""``--format perfetto``, read back with Perfetto's own protocol buffers.

Its trace processor is a prebuilt binary that PyPI's package fetches from elsewhere when it is first used, so tests
cannot count on it. What they hold is that the packets say what the golden decode says, by the rules of TrackEvent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from m43tools.quantities import QUANTITIES
from m43tools.render.perfetto import LATENCY, TRACKS
from tests.formats.support import FOLDERS, capture_in, every_capture, golden, sniffed

if TYPE_CHECKING:
    from pathlib import Path

pb2: Any = pytest.importorskip(
    "perfetto.protos.perfetto.trace.perfetto_trace_pb2", reason="perfetto is not installed (pip install -e '.[dev]')"
)


class Read:
    """A trace as the protocol buffers tell it."""

    def __init__(self, path: Path) -> None:
        trace = pb2.Trace.FromString(path.read_bytes())
        self.tracks: dict[int, Any] = {}
        self.slices: dict[str, list[tuple[int, int, str, dict[str, Any]]]] = defaultdict(list)
        self.counters: dict[str, list[tuple[int, float]]] = defaultdict(list)
        begun: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id
            if packet.HasField("track_descriptor"):
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
                continue
            event, name = packet.track_event, self.tracks[packet.track_event.track_uuid].name
            if event.type == event.TYPE_COUNTER:
                self.counters[name].append((packet.timestamp, event.double_counter_value))
            elif event.type == event.TYPE_SLICE_BEGIN:
                begun[event.track_uuid].append((packet.timestamp, event))
            else:
                start, first = (
                    begun[event.track_uuid].pop() if event.type == event.TYPE_SLICE_END else (packet.timestamp, event)
                )
                self.slices[name].append((start, packet.timestamp, first.name, told_by(first)))
        assert not any(begun.values())


def told_by(event: Any) -> dict[str, Any]:
    return {one.name: getattr(one, one.WhichOneof("value")) for one in event.debug_annotations}


@every_capture
def test_slices_and_counters_are_the_golden_decode(folder: Path, tmp_path: Path) -> None:
    read = Read(sniffed(folder, "perfetto", tmp_path / "capture.pftrace"))
    records = golden(folder)
    messages = [row for row in records if "event" not in row]
    assert [one[:3] for one in read.slices["transactions"]] == [(r["t_ns"], r["end_ns"], r["name"]) for r in messages]
    for (_, _, _, told), record in zip(read.slices["transactions"], messages, strict=True):
        assert told["command"] == record["command"]
        assert told["complete"] == record["complete"]
        assert told["sums_ok"] == (False not in (record["command_sum_ok"], record["data_sum_ok"]))
        for name, value in record["fields"].items():
            assert told[name] == value or str(value) == told[name]
    polls = [row for row in messages if row["name"] == "Status"]
    assert read.counters[LATENCY] == [(r["end_ns"], (r["end_ns"] - r["t_ns"]) / 1000) for r in polls]
    sound = [row for row in polls if False not in (row["command_sum_ok"], row["data_sum_ok"])]
    for quantity in QUANTITIES:
        expected = [(r["end_ns"], r["fields"][quantity.field]) for r in sound if quantity.field in r["fields"]]
        told_of = [(t_ns, round(value, 4)) for t_ns, value in read.counters[quantity.name]]
        assert told_of == [(t_ns, value) for t_ns, value in expected if value != "infinity"]
    for name in TRACKS[3:-1]:
        spans = [(row["t_ns"], row["end_ns"]) for row in records if row.get("event") == name]
        assert [one[:2] for one in read.slices[name]] == spans
    assert len(read.slices["drives"]) == sum(row["name"] == "Drive" for row in messages)
    assert len(read.slices["misfits"]) == sum(row.get("event") in ("violation", "fragment") for row in records)
    assert len(read.slices["power"]) == sum(row.get("event") == "power_up" for row in records)


def test_tracks_are_described_in_one_group_with_units(tmp_path: Path) -> None:
    read = Read(sniffed(FOLDERS[0], "perfetto", tmp_path / "capture.pftrace"))
    root, *rest = read.tracks.values()
    assert root.name.endswith(capture_in(FOLDERS[0]).name)
    assert all(track.parent_uuid == root.uuid for track in rest)
    units = {track.name: track.counter.unit_name for track in rest if track.HasField("counter")}
    assert units == {**{quantity.name: quantity.unit for quantity in QUANTITIES}, LATENCY: "us"}
    assert not any(math.isinf(value) for values in read.counters.values() for _, value in values)
