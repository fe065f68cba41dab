"""The edges of a probe as a bridge tells them: decoded, with every gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43drivers.bridge.probe import number_at
from m43proto.errors import DecodeError

if TYPE_CHECKING:
    from m43drivers.bridge.protocol import Edges, ProbeBegun, StepDone

__all__ = ["EdgeDecoder"]

_SEVERAL = 7
_LINES = 0x7F


class EdgeDecoder:
    """Takes the messages of one probe in their order.

    Args:
        begun: how the probe began.

    Attributes:
        changes: nanoseconds since the probe began, and the levels of all lines from then on; the first tells the levels
            at the beginning. Whoever takes them may leave the last.
        gaps_ns: stretches in which edges were lost, by the bridge or on the way: from the last edge before to the first
            one, or the end of a program, behind.
    """

    def __init__(self, begun: ProbeBegun) -> None:
        self.changes: list[tuple[int, int]] = [(0, begun.levels & _LINES)]
        self.gaps_ns: list[tuple[int, int]] = []
        self._start = begun.t
        self._tick_ns = begun.tick_ns
        self._number = 0
        self._gap_from_ns: int | None = None

    def ns_of(self, t: int) -> int:
        """Return a time of the bridge in nanoseconds since the probe began."""
        return (t - self._start) * self._tick_ns

    def take(self, message: Edges) -> None:
        """Take edges.

        Raises:
            DecodeError: they are not coded as they should be.
        """
        self._count(message.number)
        if message.lost:
            self._begin_gap()
        t, levels, at = message.t, message.levels, 0
        coded = message.coded
        try:
            while at < len(coded):
                value, at = number_at(coded, at)
                t += value >> 3
                if value & _SEVERAL == _SEVERAL:
                    levels = coded[at]
                    at += 1
                else:
                    levels ^= 1 << (value & _SEVERAL)
                self.changes.append((self.ns_of(t), levels & _LINES))
                if self._gap_from_ns is not None:
                    self._end_gap(self.ns_of(t))
        except IndexError:
            raise DecodeError("the last edge is cut off", data=coded) from None

    def take_done(self, message: StepDone) -> None:
        """Take the end of a program."""
        self._count(message.number)
        if self._gap_from_ns is not None:
            self._end_gap(self.ns_of(message.end))

    def _count(self, number: int) -> None:
        """Notice messages that were lost on the way."""
        if number != self._number:
            self._begin_gap()
        self._number = number + 1

    def _begin_gap(self) -> None:
        if self._gap_from_ns is None:
            self._gap_from_ns = self.changes[-1][0]

    def _end_gap(self, t_ns: int) -> None:
        assert self._gap_from_ns is not None
        self.gaps_ns.append((self._gap_from_ns, t_ns))
        self._gap_from_ns = None
