"""Events -> a trace for ui.perfetto.dev: slices for transactions and pin events, counters for what the lens tells.

Packets are made by the trace builder of PyPI's perfetto; times are nanoseconds from the start of the capture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, BinaryIO

from m43proto.events import FragmentSeen, MessageSeen, PinEvent, PinEventSeen, Violation
from m43proto.messages import Drive, Status
from m43tools.extras import needed
from m43tools.quantities import QUANTITIES, goal_text, reading_of
from m43tools.render.records import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from m43proto.events import Event
    from m43tools.render.remarks import Remark

__all__ = ["LATENCY", "REMARKS_TRACK", "TRACKS", "PerfettoWriter"]

_SEQUENCE = 1
_ROOT = 1

TRACKS = ("power", "transactions", "drives", *(event for event in PinEvent if not event.startswith("power")), "misfits")
"""The tracks of slices, from top to bottom; power spans from SLEEP's rise to its fall."""

LATENCY = "poll latency"
"""The counter of how long a poll takes, from the start of its command to the end of its block, in microseconds."""

REMARKS_TRACK = "remarks"
"""The track of what a live source adds, below all others; it is there where a remark is."""

_FIRST_COUNTER = _ROOT + 1 + len(TRACKS)
_COUNTERS = (*((quantity.field, quantity.name, quantity.unit) for quantity in QUANTITIES), (LATENCY, LATENCY, "us"))
_REMARKS = _FIRST_COUNTER + len(_COUNTERS)


class PerfettoWriter:
    """A slice per event.

    Args:
        stream: where to.
        capture: what the group of tracks is called.

    Raises:
        MissingExtraError: perfetto is not installed.
    """

    def __init__(self, stream: BinaryIO, capture: str) -> None:
        builder = needed("perfetto.trace_builder.proto_builder", "perfetto")
        protos = needed("perfetto.protos.perfetto.trace.perfetto_trace_pb2", "perfetto")
        self._builder = builder.StreamingTraceProtoBuilder(stream)
        self._types = protos.TrackEvent
        self._end_ns = 0
        self._power: list[int] = []
        self._slices = {name: _ROOT + 1 + at for at, name in enumerate(TRACKS)}
        self._counters = {key: _FIRST_COUNTER + at for at, (key, _, _) in enumerate(_COUNTERS)}
        self._handlers: dict[type, Callable[[Any], None]] = {
            MessageSeen: self._message,
            PinEventSeen: self._pin_event,
            Violation: lambda event: self._slice(
                "misfits", event, str(event.cause), {"detail": event.detail, "data": event.data.hex()}
            ),
            FragmentSeen: lambda event: self._slice("misfits", event, "fragment", {"data": event.data.hex()}),
        }
        self._describe(protos, capture)

    def write(self, event: Event) -> None:
        """Write one event."""
        self._end_ns = max(self._end_ns, event.end_ns)
        self._handlers[type(event)](event)

    def write_remark(self, remark: Remark) -> None:
        """Write what a live source adds to the events."""
        if REMARKS_TRACK not in self._slices:
            self._slices[REMARKS_TRACK] = _REMARKS
            self._child(_REMARKS, REMARKS_TRACK)
        end_ns = remark.t_ns if remark.end_ns is None else remark.end_ns
        self._end_ns = max(self._end_ns, end_ns)
        self._span(REMARKS_TRACK, (remark.t_ns, end_ns), remark.event, {"detail": remark.detail, **remark.more})

    def close(self) -> None:
        """End the power that is still on."""
        self._power_off(self._end_ns)

    def _packet(self) -> Any:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet

    def _describe(self, protos: Any, capture: str) -> None:
        """Write the descriptions of all tracks, in their order."""
        packet = self._packet()
        packet.sequence_flags = protos.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        root = packet.track_descriptor
        root.uuid, root.name = _ROOT, capture
        root.child_ordering = protos.TrackDescriptor.EXPLICIT
        self._builder.write_packet(packet)
        for name, uuid in self._slices.items():
            self._child(uuid, name)
        for (_, name, unit), uuid in zip(_COUNTERS, self._counters.values(), strict=True):
            self._child(uuid, name, unit)

    def _child(self, uuid: int, name: str, unit: str | None = None) -> None:
        packet = self._packet()
        track = packet.track_descriptor
        track.uuid, track.name, track.parent_uuid, track.sibling_order_rank = uuid, name, _ROOT, uuid
        if unit is not None:
            track.counter.unit_name = unit
        self._builder.write_packet(packet)

    def _event(
        self, t_ns: int, kind: int, uuid: int, name: str | None = None, told: Mapping[str, object] | None = None
    ) -> None:
        packet = self._packet()
        packet.timestamp = t_ns
        event = packet.track_event
        event.type, event.track_uuid = kind, uuid
        if name is not None:
            event.name = name
        for key, value in (told or {}).items():
            _annotate(event.debug_annotations.add(), key, value)
        self._builder.write_packet(packet)

    def _slice(self, track: str, event: Event, name: str, told: Mapping[str, object]) -> None:
        self._span(track, (event.t_ns, event.end_ns), name, told)

    def _span(self, track: str, span_ns: tuple[int, int], name: str, told: Mapping[str, object]) -> None:
        uuid, (t_ns, end_ns) = self._slices[track], span_ns
        if end_ns == t_ns:
            self._event(t_ns, self._types.TYPE_INSTANT, uuid, name, told)
            return
        self._event(t_ns, self._types.TYPE_SLICE_BEGIN, uuid, name, told)
        self._event(end_ns, self._types.TYPE_SLICE_END, uuid)

    def _count(self, key: str, t_ns: int, value: float) -> None:
        packet = self._packet()
        packet.timestamp = t_ns
        event = packet.track_event
        event.type, event.track_uuid, event.double_counter_value = self._types.TYPE_COUNTER, self._counters[key], value
        self._builder.write_packet(packet)

    def _message(self, event: MessageSeen) -> None:
        seen = event.transaction
        told = {"command": seen.command.hex(), "shape": str(seen.shape), "complete": seen.complete}
        told |= {"sums_ok": seen.sums_ok, "evidence": str(event.evidence)}
        self._slice("transactions", event, event.name, told | fields_of(event))
        if event.kind is Drive:
            self._slice("drives", event, goal_text(event), {})
        if event.kind is Status:
            self._count(LATENCY, event.end_ns, (event.end_ns - event.t_ns) / 1000)
        for quantity in QUANTITIES:
            value = reading_of(event, quantity)
            if value is not None and math.isfinite(value):
                self._count(quantity.field, event.end_ns, value)

    def _pin_event(self, event: PinEventSeen) -> None:
        if event.event is PinEvent.POWER_UP:
            self._power.append(event.t_ns)
        elif event.event is PinEvent.POWER_DOWN:
            self._power_off(event.t_ns)
        else:
            self._slice(event.event, event, str(event.event), {} if event.level is None else {"level": event.level})

    def _power_off(self, t_ns: int) -> None:
        if self._power:
            self._event(self._power.pop(), self._types.TYPE_SLICE_BEGIN, self._slices["power"], "on")
            self._event(t_ns, self._types.TYPE_SLICE_END, self._slices["power"])


def _annotate(annotation: Any, key: str, value: object) -> None:
    annotation.name = key
    if isinstance(value, bool):
        annotation.bool_value = value
    elif isinstance(value, int):
        annotation.int_value = value
    elif isinstance(value, float):
        annotation.double_value = value
    else:
        annotation.string_value = str(value)
