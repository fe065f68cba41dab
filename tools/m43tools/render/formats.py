"""What ``m43 sniff`` can write: one table of formats, each imported when it is used."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from m43proto.errors import M43Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.catalogue import Catalogue
    from m43tools.render.columns import Writer

__all__ = ["FORMATS", "Format", "MissingExtraError", "Rendering", "needed"]

EVERY_LAYER = ("bytes", "transactions", "messages")


class MissingExtraError(M43Error):
    """A package that this needs is not installed; the text holds the command that installs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a writer needs to know.

    Attributes:
        layer: what the events are: bytes, transactions or messages.
        catalogue: the messages that may come.
        raw: whether to show a person the bytes that nobody understands, too.
        capture: what the capture is called.
        among_others: whether its rows stand among those of other captures, and have to tell it.
    """

    layer: str
    catalogue: Catalogue
    raw: bool
    capture: str
    among_others: bool

    @property
    def told(self) -> str | None:
        """The name that rows have to tell, or None."""
        return self.capture if self.among_others else None


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: what ``--format`` takes.
        suffix: of its files.
        binary: whether it is for programs only, and each capture needs a file of its own.
        layers: what it can show.
        open: takes a stream, binary or of text, and what there is to know; gives the writer.
    """

    name: str
    suffix: str
    binary: bool
    layers: tuple[str, ...]
    open: Callable[[Any, Rendering], Writer]


def needed(module: str, extra: str) -> Any:
    """Import a module of a package that only an extra installs.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"this needs {package}, which is not installed ({error}): pip install 'm43proto[{extra}]'"
        ) from None


def _text(stream: Any, how: Rendering) -> Writer:
    from m43tools.render.glyphs import glyphs_for
    from m43tools.render.text import TextWriter

    if how.among_others:
        stream.write(f"== {how.capture}\n")
    terminal = stream.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    colour = terminal and "NO_COLOR" not in os.environ
    return TextWriter(stream, how.layer, glyphs_for(stream), colour=colour, raw=how.raw, width=width)


def _jsonl(stream: Any, how: Rendering) -> Writer:
    from m43tools.render.columns import JsonWriter

    return JsonWriter(stream, how.told)


def _csv(stream: Any, how: Rendering) -> Writer:
    from m43tools.render.columns import CsvWriter

    return CsvWriter(stream, how.layer, how.catalogue, how.told)


def _pcapng(stream: Any, how: Rendering) -> Writer:
    from m43tools.render.pcapng import PcapngWriter

    return PcapngWriter(stream, how.capture)


def _perfetto(stream: Any, how: Rendering) -> Writer:
    from m43tools.render.perfetto import PerfettoWriter

    return PerfettoWriter(stream, how.capture)


def _parquet(stream: Any, how: Rendering) -> Writer:
    from m43tools.render.columns_parquet import ParquetWriter

    return ParquetWriter(stream, how.layer, how.catalogue, how.capture)


# fmt: off
FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("text",     ".txt",     False, EVERY_LAYER,                  _text),
        Format("jsonl",    ".jsonl",   False, EVERY_LAYER,                  _jsonl),
        Format("csv",      ".csv",     False, EVERY_LAYER,                  _csv),
        Format("pcapng",   ".pcapng",  True,  ("transactions", "messages"), _pcapng),
        Format("perfetto", ".pftrace", True,  ("messages",),                _perfetto),
        Format("parquet",  ".parquet", True,  EVERY_LAYER,                  _parquet),
    )
}
# fmt: on
