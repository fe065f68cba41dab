"""What a body does at each step of the handshake, and how long it takes, read off the edges (specs/2-link.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line
from m43tools.conformance.timings import GIVEN_UP_NS, EdgeReader, read_edges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from m43tools.conformance.timings import Span

__all__ = ["BODY_DELAYS", "body_spans_of"]

_CLK, _DATA, _BODY_ACK = Line.CLK.mask, Line.DATA.mask, Line.BODY_ACK.mask
_LENS_ACK, _SLEEP = Line.LENS_ACK.mask, Line.SLEEP.mask

BODY_DELAYS = {
    "awake": "SLEEP rises to BODY_ACK rises for the wake pulse",
    "unslept": "BODY_ACK rises while SLEEP is low",
    "wake seen": "LENS_ACK falls behind the wake pulse to BODY_ACK falls",
    "wake cut": "LENS_ACK rises for the wake pulse to BODY_ACK falls before that is over",
    "first command": "BODY_ACK falls behind the wake pulse to BODY_ACK rises for the first command",
    "clock at rest": "BODY_ACK rises or falls with CLK high",
    "clock low": "BODY_ACK rises or falls with CLK low",
    "ready": "LENS_ACK rises at an attention to CLK falls",
    "unready": "BODY_ACK rises to CLK falls in a turn of the body, LENS_ACK still low",
    "unready byte": "BODY_ACK rises to CLK falls in a byte of the lens, LENS_ACK still low",
    "next byte": "LENS_ACK rises behind an acknowledge to CLK falls",
    "hasty byte": "last CLK rise of a byte of the body to CLK falls for the next one before the acknowledge is over",
    "hand-over": "LENS_ACK falls behind the last byte of the body to BODY_ACK falls",
    "hasty hand-over": "last CLK rise of a turn of the body to BODY_ACK falls, LENS_ACK still high",
    "whole bytes": "CLK falls first to CLK rises last in a turn of the body",
    "broken byte": "the same, in a turn of the body whose clocks are no multiple of eight",
    "set-up": "DATA changes to CLK rises, in a byte of the body",
    "late data": "CLK rises to DATA changes, in a byte of the body, before CLK falls again",
    "period": "CLK rises to CLK rises within a byte",
    "low to read": "CLK falls to CLK rises in a byte of the lens",
    "lens byte": "CLK falls first to CLK rises last in a byte of the lens: eight clocks",
    "lens byte broken": "the same, with another number of clocks",
    "done": "last CLK rise of a byte of the lens to BODY_ACK falls",
    "again": "BODY_ACK falls to BODY_ACK rises between two bytes of the lens, LENS_ACK high all the time",
    "unanswered": "BODY_ACK rises to BODY_ACK falls: LENS_ACK never rose",
    "busy": "LENS_ACK high for the work of a completion",
    "busy cut": "LENS_ACK rises for the work of a completion to BODY_ACK falls before that is over",
    "let go": "SLEEP falls to BODY_ACK is low",
}
"""What is read off the edges: name -> from where to where."""


class _BodyReader(EdgeReader):
    """Finds the delays of `BODY_DELAYS`; it knows turns and bytes, and no command."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        self.slept_up_ns: int | None = None
        self.slept_down_ns: int | None = None
        self.wake_over_ns: int | None = None
        self.waking = False
        self.by_lens = False
        self.body_up_ns: int | None = None
        self.body_down_ns = 0
        self.lens_up_ns: int | None = None
        self.lens_down_ns: int | None = None
        self.lens_stayed = False
        self.clocks = 0
        self.first_ns: int | None = None
        self.fell_ns: int | None = None
        self.rise_ns = 0
        self.data_ns: int | None = None
        self.acknowledged = False
        self.unready_ns: int | None = None

    def take(self, t_ns: int, levels: int) -> None:
        before, self.levels = self.levels, levels
        changed = before ^ levels
        if changed & _SLEEP:
            self._sleep(t_ns, levels)
        spoken = changed & _DATA and before & levels & _BODY_ACK and not self.by_lens
        if spoken and not changed & before & _CLK:
            self._data(t_ns, before)
        if changed & levels & _CLK:
            self._clock_rises(t_ns, before)
        if changed & _LENS_ACK and not self._comes_behind(t_ns, changed, levels):
            self._lens(t_ns, levels)
            changed &= ~_LENS_ACK
        if changed & before & _CLK:
            self._clock_falls(t_ns, levels)
            self.data_ns = t_ns if spoken else None
        if changed & before & _BODY_ACK:
            self._body_falls(t_ns, levels)
        if changed & _LENS_ACK:
            self._lens(t_ns, levels)
        if changed & levels & _BODY_ACK:
            self._body_rises(t_ns, before, levels)

    def _comes_behind(self, t_ns: int, changed: int, levels: int) -> bool:
        """Tell whether a change of LENS_ACK in the same moment as one of BODY_ACK is to be taken as the later one."""
        if not changed & _BODY_ACK:
            return False
        return self.by_lens or bool(levels & _BODY_ACK) or t_ns - self.rise_ns > GIVEN_UP_NS

    def _sleep(self, t_ns: int, levels: int) -> None:
        self.waking = bool(levels & _SLEEP)
        self.slept_up_ns = t_ns if self.waking else None
        self.slept_down_ns = None
        self.wake_over_ns = None
        if self.waking:
            return
        if levels & _BODY_ACK:
            self.slept_down_ns = t_ns
        else:
            self.note("let go", t_ns, t_ns)

    # CLK and DATA

    def _clock_falls(self, t_ns: int, levels: int) -> None:
        if not levels & _BODY_ACK:
            return
        self.fell_ns = t_ns
        if self.clocks % BITS_PER_BYTE:
            return
        if not self.clocks:
            self.first_ns = t_ns
            self._first_clock(t_ns)
        elif not self.by_lens:
            self._next_byte(t_ns, levels)

    def _first_clock(self, t_ns: int) -> None:
        if self.by_lens:
            return
        if self.lens_up_ns is None:
            self.unready_ns = t_ns
        else:
            self.note("ready", self.lens_up_ns, t_ns)

    def _next_byte(self, t_ns: int, levels: int) -> None:
        if self.acknowledged and levels & _LENS_ACK:
            self.note("next byte", self.lens_up_ns, t_ns)
        else:
            self.note("hasty byte", self.rise_ns, t_ns)
        self.acknowledged = False

    def _clock_rises(self, t_ns: int, before: int) -> None:
        if not before & _BODY_ACK or self.fell_ns is None:
            return
        if self.clocks % BITS_PER_BYTE:
            self.note("period", self.rise_ns, t_ns)
        if self.by_lens:
            self.note("low to read", self.fell_ns, t_ns)
        else:
            self.note("set-up", self.data_ns, t_ns)
        self.clocks += 1
        self.rise_ns = t_ns
        self.fell_ns = self.data_ns = None
        self.acknowledged = False

    def _data(self, t_ns: int, before: int) -> None:
        if not before & _CLK:
            self.data_ns = t_ns
        elif self.clocks % BITS_PER_BYTE:
            self.note("late data", self.rise_ns, t_ns)

    # the ack lines

    def _lens(self, t_ns: int, levels: int) -> None:
        if levels & _LENS_ACK:
            self.lens_up_ns = t_ns
            return
        self.lens_stayed = False
        self.lens_down_ns = t_ns
        self.acknowledged = bool(self.clocks) and not self.clocks % BITS_PER_BYTE

    def _rest(self, t_ns: int, levels: int) -> None:
        self.note("clock at rest" if levels & _CLK else "clock low", t_ns, t_ns)

    def _body_rises(self, t_ns: int, before: int, levels: int) -> None:
        self._rest(t_ns, levels)
        if not levels & _SLEEP:
            self.note("unslept", t_ns, t_ns)
        if self.waking:
            self.note("awake", self.slept_up_ns, t_ns)
            self.slept_up_ns = None
        self.note("first command", self.wake_over_ns, t_ns)
        self.wake_over_ns = None
        self.by_lens = bool(before & levels & _LENS_ACK)
        if self.by_lens and self.lens_stayed:
            self.note("again", self.body_down_ns, t_ns)
        if not self.by_lens:
            self.lens_up_ns = self.lens_down_ns = None
        self.body_up_ns = t_ns
        self.clocks = 0
        self.first_ns = self.fell_ns = self.data_ns = self.unready_ns = None
        self.acknowledged = False

    def _body_falls(self, t_ns: int, levels: int) -> None:
        self._rest(t_ns, levels)
        self.note("let go", self.slept_down_ns, t_ns)
        self.slept_down_ns = None
        if self.by_lens:
            self._lens_byte_ends(t_ns)
        elif self.clocks:
            self._turn_ends(t_ns)
        elif self.waking:
            self._wake_ends(t_ns)
        else:
            self._empty_turn_ends(t_ns)
        self.body_down_ns = t_ns
        self.lens_stayed = self.by_lens and bool(self.clocks and self.levels & _LENS_ACK)
        self.waking = False

    def _lens_byte_ends(self, t_ns: int) -> None:
        if self.clocks == BITS_PER_BYTE:
            self.note("lens byte", self.first_ns, self.rise_ns)
            self.note("done", self.rise_ns, t_ns)
        else:
            self.note("lens byte broken", self.first_ns, self.rise_ns)

    def _turn_ends(self, t_ns: int) -> None:
        if self.unready_ns is not None:
            self.note("unready byte" if self.clocks == BITS_PER_BYTE else "unready", self.body_up_ns, self.unready_ns)
        if self.clocks % BITS_PER_BYTE:
            self.note("broken byte", self.first_ns, self.rise_ns)
            return
        self.note("whole bytes", self.first_ns, self.rise_ns)
        if self.acknowledged:
            self.note("hand-over", self.lens_down_ns, t_ns)
        elif self.clocks > BITS_PER_BYTE:
            self.note("hasty hand-over", self.rise_ns, t_ns)

    def _wake_ends(self, t_ns: int) -> None:
        if self.lens_up_ns is None:
            self.note("unanswered", self.body_up_ns, t_ns)
            return
        if self.lens_down_ns is None:
            self.note("wake cut", self.lens_up_ns, t_ns)
        else:
            self.note("wake seen", self.lens_down_ns, t_ns)
        self.wake_over_ns = t_ns

    def _empty_turn_ends(self, t_ns: int) -> None:
        if self.lens_up_ns is None:
            self.note("unanswered", self.body_up_ns, t_ns)
        elif self.lens_down_ns is None:
            self.note("busy cut", self.lens_up_ns, t_ns)
        else:
            self.note("busy", self.lens_up_ns, self.lens_down_ns)

    def finish(self, end_ns: int) -> None:
        """Tell nothing of what the end cut off: the body might have gone on."""


def body_spans_of(changes: Iterable[tuple[int, int]]) -> Mapping[str, Sequence[Span]]:
    """Return every delay by its name in `BODY_DELAYS`; a name that did not occur has no entry.

    Args:
        changes: time and new levels of all lines; the first tells the levels at the start.
    """
    return read_edges(_BodyReader, changes, 0)
