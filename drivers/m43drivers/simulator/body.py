"""A simulated body: what a camera body does over a session, as steps that a script is made of.

The order of the start-up and of a frame is that of the public body program (specs/4-session.md). What a body does when
a transaction fails is not public; here it goes on (provisional):

* a lens without a wake pulse is switched off and on again;
* a step of the start-up, and whatever else the script sends by itself, is tried again after a pause;
* a status is not asked for again: the next frame polls anyhow;
* a drive is sent again behind the poll of the next frame;
* what has failed `SimulatedBody.attempts` times is left, and the script goes on.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from m43proto.dialects import DIALECTS
from m43proto.ends import PinBody, Script
from m43proto.messages import PUBLIC, Drive, SetFocusRing, SetStabilisation, StabilisationStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.catalogue import Catalogue
    from m43proto.dialects import Dialect
    from m43proto.events import TransactionSeen
    from m43proto.timing import BodyTiming

__all__ = ["ATTEMPTS", "FRAME_HZ", "FULL_SCAN", "Hand", "Outcome", "SimulatedBody", "focus_drive"]

FRAME_HZ = 60.0
"""Frames per second unless a script says otherwise; the public body program polls about as often (SIM)."""

ATTEMPTS = 3
"""How often a transaction is tried in all, unless a script says otherwise (provisional)."""

FULL_SCAN = 0x7FFF
"""The focus target of a scan on record (BELL)."""

_LEAD_IN_NS = 5_000_000
_SHUTTER_NS = 507_000
_SHUTTER_TO_POLL_NS = 1_500_000
_POLL_TO_DRIVE_NS = 42_000
_DRIVE_TO_FOCUS_NS = 4_000_000
_CLOCK_HOLD_NS = 1_000_000
_COMMAND_GAP_NS = 1_000_000
_RESTART_NS = 100_000_000
_LAST_WORD_TO_OFF_NS = 100_000_000
_SETUP_POLL = 2
"""The set-up drive goes with the second poll (BELL@da4f851)."""


class Hand(Protocol):
    """What a hand does to the lens, where there is a simulated one."""

    def turn_zoom(self, step: int, now_ns: int) -> None:
        """Turn the zoom ring to a step."""
        ...

    def turn_focus_ring(self, counts: int, now_ns: int) -> None:
        """Turn the focus ring by so many counts of focus."""
        ...

    def yank(self) -> None:
        """Take the lens away."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a transaction.

    Attributes:
        t_ns: when the body began with it.
        command: its command.
        seen: the transaction, perhaps incomplete; None when the lens never answered.
    """

    t_ns: int
    command: bytes
    seen: TransactionSeen | None

    @property
    def ok(self) -> bool:
        """Whether it is complete and its sums are right."""
        return self.seen is not None and self.seen.complete and self.seen.sums_ok


class SimulatedBody(PinBody):
    """A body at the pins that can do what a session needs; a script is a generator of its steps.

    ::

        def script(body):
            yield from body.power_up()
            yield from body.start_up()
            yield from body.poll(30)
            yield from body.drive(Drive(aperture_operation="set", aperture_f=5.6))
            yield from body.power_down()

    Args:
        timing: its delays.
        script: a function from the body to its script.
        dialect: how it starts and polls a lens.
        frame_hz: frames per second.
        attempts: how often it tries a transaction in all.
        catalogue: which commands it knows.
        hand: what turns the rings of the lens; None where there is no simulated lens.

    Attributes:
        outcomes: its transactions so far, in order, failed ones included.
        wake_pulses: for each power-up, tries included, whether the lens gave its wake pulse.
        overruns: how many frames were skipped because what went before took too long.
        hand: what turns the rings of the lens.
    """

    def __init__(
        self,
        timing: BodyTiming,
        script: Callable[[SimulatedBody], Script[None]],
        *,
        dialect: Dialect = DIALECTS["E-PL1"],
        frame_hz: float = FRAME_HZ,
        attempts: int = ATTEMPTS,
        catalogue: Catalogue = PUBLIC,
        hand: Hand | None = None,
    ) -> None:
        self.dialect = dialect
        self.frame_hz = frame_hz
        self.attempts = attempts
        self.hand = hand
        self.outcomes: list[Outcome] = []
        self.wake_pulses: list[bool] = []
        self.overruns = 0
        self._due_drives: deque[tuple[Drive, int]] = deque()
        self._polls_to_setup = 0
        self._first_frame_ns: int | None = None
        self._frames = 0
        super().__init__(timing, lambda _: script(self), catalogue.shape_of)

    # steps

    def power_up(self) -> Script[bool]:
        """Wake the lens, switching it off and on again when there is no wake pulse; return whether there was one."""
        yield _LEAD_IN_NS
        for attempt in range(self.attempts):
            if attempt:
                yield from super().power_down()
                yield _RESTART_NS
            self.wake_pulses.append((yield from super().power_up()))
            if self.wake_pulses[-1]:
                break
        return self.wake_pulses[-1]

    def power_down(self) -> Script[None]:
        """Switch the lens off, a while after the last transaction (BELL@bb20aad)."""
        yield _LAST_WORD_TO_OFF_NS
        yield from super().power_down()

    def start_up(self) -> Script[None]:
        """Send the commands of the start-up; from then on the set-up drive is due with the second poll."""
        for step in self.dialect.steps:
            yield from self.send(step.command, step.block)
            if step.clock_hold:
                yield from self.clock_hold(_CLOCK_HOLD_NS)
                yield _COMMAND_GAP_NS
        self._polls_to_setup = _SETUP_POLL

    def poll(self, frames: int = 1) -> Script[None]:
        """Read the status once a frame, for so many frames."""
        for _ in range(frames):
            yield from self._frame()

    def drive(self, message: Drive) -> Script[None]:
        """Send a drive behind the next poll, but not before the set-up drive; again behind later polls if it fails."""
        self._due_drives.append((message, self.attempts))
        while self._due_drives:
            yield from self._frame()

    def set_focus_ring(self, direction: str) -> Script[None]:
        """Say which way the focus follows the focus ring."""
        yield from self.send(SetFocusRing.request(ring_direction=direction))

    def stabilise(self, mode: str, corrector: str, focal_length_mm: float) -> Script[None]:
        """Set the stabilisation (provisional)."""
        message = SetStabilisation(mode=mode, corrector=corrector, focal_length_mm=focal_length_mm)
        yield from self.send(message.command, message.block)

    def read_stabiliser(self) -> Script[None]:
        """Ask what the stabiliser does (provisional)."""
        yield from self.send(StabilisationStatus.request())

    def send(self, command: bytes, block: bytes = b"") -> Script[None]:
        """Carry out a transaction between frames, and try again while it fails."""
        for _ in range(self.attempts):
            done = yield from self._try(command, block)
            yield _COMMAND_GAP_NS
            if done:
                return

    # frames

    def _frame(self) -> Script[None]:
        yield from self._frame_begins()
        yield from self.frame_sync(_SHUTTER_NS)
        yield _SHUTTER_TO_POLL_NS
        yield from self._try(self.dialect.poll)
        yield from self._send_due_drive()
        yield _DRIVE_TO_FOCUS_NS
        yield from self.toggle_focus()
        self.overruns += max(self._frames_begun() - self._frames, 0)

    def _frame_begins(self) -> Script[None]:
        """Wait for the next frame of the schedule that has not begun yet; the first one is now."""
        if self._first_frame_ns is None:
            self._first_frame_ns = self.now_ns
        number = max(self._frames, self._frames_begun())
        self._frames = number + 1
        yield max(self._first_frame_ns + round(number * 1e9 / self.frame_hz) - self.now_ns, 0)

    def _frames_begun(self) -> int:
        """Return how many frames of the schedule began before now."""
        assert self._first_frame_ns is not None
        return max(math.ceil((self.now_ns - self._first_frame_ns - 0.5) * self.frame_hz / 1e9), 0)

    def _send_due_drive(self) -> Script[None]:
        if self._polls_to_setup:
            self._polls_to_setup -= 1
            if not self._polls_to_setup:
                self._due_drives.appendleft((Drive(focus_operation="setup"), self.attempts))
        if self._due_drives and not self._polls_to_setup:
            message, tries = self._due_drives.popleft()
            yield _POLL_TO_DRIVE_NS
            if not (yield from self._try(message.command, message.block)) and tries > 1:
                self._due_drives.appendleft((message, tries - 1))

    def _try(self, command: bytes, block: bytes = b"") -> Script[bool]:
        t_ns = self.now_ns
        outcome = Outcome(t_ns, command, (yield from self.transact(command, block)))
        self.outcomes.append(outcome)
        return outcome.ok


def focus_drive(position: int) -> Drive:
    """Return a drive of the focus to a position, with the two last bytes as they stand on record.

    They are 01 00 in both drives to a negative position that are known, and 00 00 in the one to a positive position;
    that the sign decides is inferred (BELL@0b15280, BELL@bc3a33a).
    """
    return Drive(focus_operation="move", focus_target=position, unknown_7=b"\1\0" if position < 0 else bytes(2))
