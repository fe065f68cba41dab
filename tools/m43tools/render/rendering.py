"""What the writers of binary formats share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.records import record

if TYPE_CHECKING:
    from m43proto.catalogue import Catalogue

__all__ = ["Rendering"]


@record(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a writer needs to know.

    Attributes:
        layer: what the events are: bytes, transactions or messages.
        catalogue: the messages that may come.
        capture: what the capture is called.
        live: whether it is a live source, with remarks beside its events.
    """

    layer: str
    catalogue: Catalogue
    capture: str
    live: bool = False
