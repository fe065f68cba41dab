"""What ``m43 sniff`` can write for other programs: one table of binary formats, each imported when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from m43proto.errors import M43Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event

__all__ = ["BINARY_FORMATS", "BinaryFormat", "BinaryWriter", "MissingExtraError", "Rendering", "needed"]


class MissingExtraError(M43Error):
    """A package that this needs is not installed; the text holds the command that installs it."""


class BinaryWriter(Protocol):
    """Takes events one by one."""

    def write(self, event: Event) -> None:
        """Write one event."""

    def close(self) -> None:
        """Write what stands behind the last event; the stream stays open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a writer needs to know.

    Attributes:
        layer: what the events are: bytes, transactions or messages.
        catalogue: the messages that may come.
        capture: what the capture is called.
    """

    layer: str
    catalogue: Catalogue
    capture: str


@dataclass(frozen=True, slots=True)
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
