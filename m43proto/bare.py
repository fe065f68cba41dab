"""Bytes -> transactions where BODY_ACK was not recorded: the grammar and the sums must do (specs/3-framing.md §3.7).

Nothing marks a turn then, so bytes are dealt into turns by the sizes that the grammar demands. At the start, and after
anything that fits nowhere, a command is hunted: four bytes whose sum is the fifth.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from m43proto.checksum import wire_sum
from m43proto.events import ByteSeen, Cause
from m43proto.framing import Framer, nothing_for
from m43proto.phy import BitsLost, Burst, WireByte
from m43proto.pins import Role
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE
from m43proto.turns import TURNS, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43proto.drafts import Draft
    from m43proto.events import Event
    from m43proto.shapes import Shape

__all__ = ["GAP_NS", "BareFramer"]

GAP_NS = 2_000_000
"""Without BODY_ACK, bytes further apart than this belong to two transactions (ns; provisional).

Between two polls the bus rests for 4 ms and more (BELL).
"""

_HUNTED_SIZE = COMMAND_SIZE + 1


class BareFramer(Framer):
    """A framer of bytes that come without bursts.

    Args:
        shape_of: the shape of a command, or None when nobody knows it: a catalogue's own method.
    """

    def __init__(self, shape_of: Callable[[bytes], Shape | None]) -> None:
        super().__init__(shape_of)
        self._hunting = True
        self._bare: list[WireByte] = []
        self._handlers.update({WireByte: self._take_bare, BitsLost: self._take_bare_bits})

    @property
    def at_rest(self) -> bool:
        """Whether nothing is open, and no byte waits for its turn to fill."""
        return super().at_rest and not self._bare

    @property
    def hunting(self) -> bool:
        """Whether the next command must show itself by its sum."""
        return self._hunting

    def receive_run(self, run: Sequence[WireByte], start: int, stop: int) -> tuple[list[Event], int]:
        """Take bytes that follow each other without anything else between them, as many as mean the same at once.

        Data of a block, and bytes among which no command is found, mean the same; of anything else one is taken. What
        `receive` makes of them one by one is what this makes of them.

        Args:
            run: the bytes.
            start: the first that has not been taken.
            stop: behind the last that may be taken.

        Returns:
            the events that they complete, and the number behind the last that was taken.
        """
        self._events = []
        most, take = self._alike(stop - start)
        end = self._before_rest(run, start, start + most)
        taken = take(run[start:end]) if end > start else 0
        if not taken:
            return self.receive(run[start]), start + 1
        self._last_ns = run[start + taken - 1].end_ns
        return self._events, start + taken

    def rejoin(self, last_ns: int) -> None:
        """Go on behind whole transactions that were decoded elsewhere, the last of which ended at `last_ns`."""
        super().rejoin(last_ns)
        self._hunting = False

    def finish(self, cut: Sequence[Burst], end_ns: int) -> list[Event]:
        """End the traffic at `end_ns`; return what was still open."""
        if self._bare and not self._hunting:
            turn, self._bare = tuple(self._bare), []
            return super().finish([Burst(turn[0].t_ns, turn[-1].end_ns, None, turn, None, ended=False)], end_ns)
        self._events = []
        self._lose_foreign()
        return self._events + super().finish(cut, end_ns)

    def _alike(self, most: int) -> tuple[int, Callable[[Sequence[WireByte]], int]]:
        """Return how many of the next bytes may mean the same, and what takes them and says how many it took."""
        draft = self._draft
        if draft is not None and draft.phase is Phase.READ_DATA:
            return min(draft.wanted - draft.held - 1, most), partial(self._take_data, draft)
        return most if self._hunting else 0, self._pass_by

    def _before_rest(self, run: Sequence[WireByte], start: int, stop: int) -> int:
        """Return the first of some bytes before which the bus rests for long, or `stop`."""
        last_ns = self._last_ns
        for at in range(start, stop):
            if run[at].t_ns - last_ns > GAP_NS:
                return at
            last_ns = run[at].end_ns
        return stop

    def _take_data(self, draft: Draft, run: Sequence[WireByte]) -> int:
        """Take data of a block that the lens sends."""
        wire = [ByteSeen(byte.t_ns, byte.end_ns, Role.LENS, byte.value) for byte in run]
        self._events.extend(wire)
        draft.wire.extend(wire)
        draft.put(bytes([byte.value for byte in run]))
        return len(run)

    def _pass_by(self, run: Sequence[WireByte]) -> int:
        """Pass over bytes among which no command is, as far as that can be told."""
        values = bytes([byte.value for byte in (*self._bare, *run)])
        found = self._command_in(values)
        taken = min(found + COMMAND_SIZE - len(self._bare), len(run))
        self._bare.extend(run[:taken])
        if found:
            self._lose_foreign(found)
        return taken

    def _command_in(self, values: bytes) -> int:
        """Return where the first command stands that its sum follows, or would at the earliest."""
        last = max(len(values) - COMMAND_SIZE, 0)
        for at in range(last):
            if self._is_command(values[at : at + _HUNTED_SIZE]):
                return at
        return last

    def _is_command(self, values: bytes) -> bool:
        """Tell whether bytes are a command of a known shape and its sum."""
        command = values[:COMMAND_SIZE]
        return wire_sum(command) == values[COMMAND_SIZE] and self._shape_of(command) is not None

    def _take_bare(self, byte: WireByte) -> None:
        self._rest_before(byte)
        self._bare.append(byte)
        if self._hunting:
            self._hunt()
        if not self._hunting and len(self._bare) == self._wanted_bare():
            self._take_bare_turn(len(self._bare))

    def _take_bare_turn(self, size: int) -> None:
        turn, self._bare = tuple(self._bare[:size]), self._bare[size:]
        self._take_burst(Burst(turn[0].t_ns, turn[-1].end_ns, None, turn, None))
        self._hunting = self._draft is None and self._lost is not None

    def _wanted_bare(self) -> int:
        """Return the size of the turn at hand, as far as it can be told."""
        draft = self._draft
        if draft is None:
            return COMMAND_SIZE
        if TURNS[draft.phase].sender is Role.LENS:
            return 1
        if len(self._bare) < LENGTH_SIZE:
            return LENGTH_SIZE + 1
        announced = self._bare[0].value | self._bare[1].value << 8
        return LENGTH_SIZE + max(announced - 1, 0)

    def _rest_before(self, byte: WireByte) -> None:
        """End what stopped before a long rest."""
        draft = self._draft
        gap_ns = byte.t_ns - self._last_ns
        if gap_ns <= GAP_NS or not (self._bare or draft) or (draft and draft.phase is Phase.STATUS):
            return
        why = nothing_for(gap_ns)
        if draft is not None:
            draft.wire.extend(self._seen_bare())
            self._break_off(draft, why)
        self._lose_bare(Cause.COMMAND_SIZE, f"{why} after {len(self._bare)} bytes of a command")
        self._hunting = True

    def _hunt(self) -> None:
        """Look for a command by its sum, which is all that marks one without ack lines."""
        if len(self._bare) < _HUNTED_SIZE:
            return
        if not self._is_command(bytes(byte.value for byte in self._bare)):
            self._lose_foreign(1)
            return
        self._hunting = False
        self._take_bare_turn(COMMAND_SIZE)
        self._take_bare_turn(1)

    def _seen_bare(self, size: int | None = None) -> list[ByteSeen]:
        sender = TURNS[self._draft.phase].sender if self._draft else None
        seen = [ByteSeen(byte.t_ns, byte.end_ns, sender, byte.value) for byte in self._bare[:size]]
        del self._bare[:size]
        self._events.extend(seen)
        return seen

    def _lose_foreign(self, size: int | None = None) -> None:
        self._lose_bare(Cause.NO_COMMAND, "outside any transaction", size)

    def _lose_bare(self, cause: Cause, detail: str, size: int | None = None) -> None:
        seen = self._seen_bare(size)
        if seen:
            self._lose(seen, cause, detail)

    def _take_bare_bits(self, lost: BitsLost) -> None:
        draft = self._draft
        seen = self._seen_bare()
        if draft is not None:
            draft.wire.extend(seen)
        self._take_broken(lost, seen if draft is None else [])
        self._hunting = True
