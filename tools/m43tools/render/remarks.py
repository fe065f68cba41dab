"""What a live source adds to the events of the mount: that samples are missing, rows were left out, a trigger fired."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REMARKS", "Remark"]

REMARKS = {
    "overflow": "the analyser took more samples than it could send",
    "overrun": "this program did not keep up",
    "gap": "the analyser does not record between two buffers",
    "damage": "what came from the analyser breaks its own format",
    "lost": "the analyser is gone",
    "skipped": "rows that a slow reader of the output did not take",
    "trigger": "a trigger fired",
}
"""Every remark there is, and what it means."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark.

    Attributes:
        event: a key of `REMARKS`.
        t_ns: when what it tells began, in nanoseconds from the start of the recording.
        end_ns: when it ended, or None where nothing follows.
        detail: what happened, in a sentence for a person.
        more: further values by their keys: ``exact`` of what is missing, ``rows`` of what was left out.
    """

    event: str
    t_ns: int
    end_ns: int | None
    detail: str
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, object]:
        """The stable record of it, as of an event."""
        return {"event": self.event, "t_ns": self.t_ns, "end_ns": self.end_ns, **self.more, "detail": self.detail}
