"""What ``m43 sniff`` can write for other programs: one table of binary formats, each imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import Event
    from m43tools.render.remarks import Remark
    from m43tools.render.rendering import Rendering

__all__ = ["BINARY_FORMATS", "BinaryFormat", "BinaryWriter"]


class BinaryWriter(Protocol):
    """Takes events one by one."""

    def write(self, event: Event) -> None:
        """Write one event."""

    def write_remark(self, remark: Remark) -> None:
        """Write what a live source adds to the events."""

    def close(self) -> None:
        """Write what stands behind the last event; the stream stays open."""


@record(frozen=True, slots=True)
class BinaryFormat:
    """One format.

    Attributes:
        suffix: of its files.
        layers: what it can show.
        open: takes a stream and what there is to know; gives the writer.
    """

    suffix: str
    layers: tuple[str, ...]
    open: Callable[[BinaryIO, Rendering], BinaryWriter]


def _pcapng(stream: BinaryIO, how: Rendering) -> BinaryWriter:
    from m43tools.render.pcapng import PcapngWriter

    return PcapngWriter(stream, how.capture)


def _perfetto(stream: BinaryIO, how: Rendering) -> BinaryWriter:
    from m43tools.render.perfetto import PerfettoWriter

    return PerfettoWriter(stream, how.capture)


def _parquet(stream: BinaryIO, how: Rendering) -> BinaryWriter:
    from m43tools.render.columns_parquet import ParquetWriter

    return ParquetWriter(stream, how)


# fmt: off
BINARY_FORMATS: dict[str, BinaryFormat] = {
    "pcapng":   BinaryFormat(".pcapng",  ("transactions", "messages"),          _pcapng),
    "perfetto": BinaryFormat(".pftrace", ("messages",),                         _perfetto),
    "parquet":  BinaryFormat(".parquet", ("bytes", "transactions", "messages"), _parquet),
}
# fmt: on
