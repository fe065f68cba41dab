"""The session between body and lens: states, what leads from one to the next, and how long to wait (specs/4-session.md).

`TRANSITIONS` is blind to who asks: body, lens and observer hold the same table, and each applies what it sees. Whether
an input is legal in a state is a column of it. "Legal" means that a public source shows it; "untried" that no source
does, so nobody knows; "illegal" that it cannot work, by what is known of the bus.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from m43proto.events import StateChanged
from m43proto.evidence import Evidence
from m43proto.framing import BUSY_SILENCE_NS
from m43proto.messages import (
    BodyCapability,
    Drive,
    EnableDrive,
    Identify,
    Initialise,
    LinkCapability,
    SelectLinkMode,
    SetFocusRing,
    Status,
)
from m43proto.pins import Role
from m43proto.records import record
from m43proto.states import State, Trigger

if TYPE_CHECKING:
    from m43proto.schema import Message

__all__ = [
    "SETTLED_POLLS",
    "START_UP",
    "TIMEOUTS",
    "TRANSITIONS",
    "DriveWatch",
    "Legality",
    "Session",
    "Timeout",
    "Transition",
    "Wait",
]


class Legality(StrEnum):
    """Whether an input has a place in a state."""

    LEGAL = "legal"
    UNTRIED = "untried"
    ILLEGAL = "illegal"


@record(frozen=True, slots=True)
class Transition:
    """One entry of `TRANSITIONS`.

    Attributes:
        then: the state that follows.
        legality: whether the input has a place here.
        evidence: how sure that is.
        source: citation.
    """

    then: State
    legality: Legality
    evidence: Evidence
    source: str


def _shown(then: State, source: str, evidence: Evidence = Evidence.CONFIRMED) -> Transition:
    return Transition(then, Legality.LEGAL, evidence, source)


def _untried(then: State, source: str = "PROJECT") -> Transition:
    return Transition(then, Legality.UNTRIED, Evidence.UNKNOWN, source)


def _ours(then: State) -> Transition:
    """What is this project's own way to tell: no source, but nothing against it."""
    return Transition(then, Legality.LEGAL, Evidence.PROVISIONAL, "PROJECT")


def _illegal(then: State) -> Transition:
    return Transition(then, Legality.ILLEGAL, Evidence.INFERRED, "BELL")


_ON = (
    State.WAKING,
    State.INITIALISING,
    State.READY,
    State.DRIVING,
    State.PASSIVE,
    State.GONE,
    State.FAILED,
)

# fmt: off
TRANSITIONS: dict[tuple[State, Trigger], Transition] = {
    (State.UNSEEN, Trigger.POWER_UP):         _shown(State.WAKING, "BELL@bb20aad"),
    (State.UNSEEN, Trigger.WAKE_PULSE):       _shown(State.INITIALISING, "BELL@bb20aad"),
    (State.UNSEEN, Trigger.STEP):             _ours(State.INITIALISING),
    (State.UNSEEN, Trigger.LAST_STEP):        _ours(State.READY),
    (State.UNSEEN, Trigger.OUT_OF_ORDER):     _ours(State.INITIALISING),
    (State.UNSEEN, Trigger.POLL):             _ours(State.READY),
    (State.UNSEEN, Trigger.DRIVE):            _ours(State.DRIVING),
    (State.UNSEEN, Trigger.OTHER):            _ours(State.UNSEEN),
    (State.UNSEEN, Trigger.SETTLED):          _ours(State.READY),
    (State.UNSEEN, Trigger.BROKE_OFF):        _ours(State.UNSEEN),
    (State.UNSEEN, Trigger.NO_ANSWER):        _ours(State.GONE),
    (State.UNSEEN, Trigger.GIVEN_UP):         _ours(State.FAILED),

    (State.OFF, Trigger.POWER_UP):            _shown(State.WAKING, "BELL@bb20aad"),
    (State.OFF, Trigger.GIVEN_UP):            _ours(State.FAILED),

    (State.WAKING, Trigger.WAKE_PULSE):       _shown(State.INITIALISING, "BELL@bb20aad"),
    (State.WAKING, Trigger.NO_ANSWER):        _ours(State.PASSIVE),
    (State.WAKING, Trigger.STEP):             _untried(State.INITIALISING),
    (State.WAKING, Trigger.LAST_STEP):        _untried(State.INITIALISING),
    (State.WAKING, Trigger.OUT_OF_ORDER):     _untried(State.INITIALISING),
    (State.WAKING, Trigger.POLL):             _untried(State.INITIALISING),
    (State.WAKING, Trigger.DRIVE):            _untried(State.INITIALISING),
    (State.WAKING, Trigger.OTHER):            _untried(State.INITIALISING),

    (State.INITIALISING, Trigger.STEP):       _shown(State.INITIALISING, "BELL@26929bd, BELL@da4f851"),
    (State.INITIALISING, Trigger.LAST_STEP):  _shown(State.READY, "BELL@26929bd, BELL@da4f851"),
    (State.INITIALISING, Trigger.OUT_OF_ORDER):_untried(State.INITIALISING),
    (State.INITIALISING, Trigger.POLL):       _shown(State.READY, "BELL@45cf9b6", Evidence.OBSERVED),
    (State.INITIALISING, Trigger.DRIVE):      _untried(State.INITIALISING, "BELL@45cf9b6"),
    (State.INITIALISING, Trigger.OTHER):      _shown(State.INITIALISING, "BELL@ad79dd2, BLOG", Evidence.OBSERVED),

    (State.READY, Trigger.STEP):              _untried(State.INITIALISING),
    (State.READY, Trigger.LAST_STEP):         _untried(State.READY),
    (State.READY, Trigger.OUT_OF_ORDER):      _untried(State.READY),
    (State.READY, Trigger.POLL):              _shown(State.READY, "BELL"),
    (State.READY, Trigger.DRIVE):             _shown(State.DRIVING, "BELL@1c72da3, BELL@bc3a33a"),
    (State.READY, Trigger.OTHER):             _shown(State.READY, "BELL@0b15280", Evidence.OBSERVED),
    (State.READY, Trigger.SETTLED):           _ours(State.READY),

    (State.DRIVING, Trigger.STEP):            _untried(State.INITIALISING),
    (State.DRIVING, Trigger.LAST_STEP):       _untried(State.DRIVING),
    (State.DRIVING, Trigger.OUT_OF_ORDER):    _untried(State.DRIVING),
    (State.DRIVING, Trigger.POLL):            _shown(State.DRIVING, "BELL@1c72da3"),
    (State.DRIVING, Trigger.DRIVE):           _untried(State.DRIVING),
    (State.DRIVING, Trigger.OTHER):           _untried(State.DRIVING),
    (State.DRIVING, Trigger.SETTLED):         _ours(State.READY),

    (State.PASSIVE, Trigger.WAKE_PULSE):      _ours(State.INITIALISING),
    (State.PASSIVE, Trigger.NO_ANSWER):       _ours(State.PASSIVE),
    (State.PASSIVE, Trigger.GIVEN_UP):        _ours(State.FAILED),

    (State.GONE, Trigger.POWER_UP):           _ours(State.WAKING),
    (State.GONE, Trigger.WAKE_PULSE):         _ours(State.INITIALISING),
}
# fmt: on
TRANSITIONS |= {(state, Trigger.POWER_DOWN): _shown(State.OFF, "BELL@bb20aad") for state in (State.UNSEEN, *_ON)}
TRANSITIONS |= {
    (state, trigger): _ours(then)
    for state in (State.WAKING, State.INITIALISING, State.READY, State.DRIVING, State.GONE)
    for trigger, then in (
        (Trigger.BROKE_OFF, state),
        (Trigger.NO_ANSWER, State.GONE),
        (Trigger.GIVEN_UP, State.FAILED),
    )
    if (state, trigger) not in TRANSITIONS
}
TRANSITIONS |= {
    (state, trigger): _illegal(state) for state in State for trigger in Trigger if (state, trigger) not in TRANSITIONS
}
"""What each input does in each state: a row for every pair."""


# The start-up


START_UP: tuple[type[Message], ...] = (
    Initialise,
    LinkCapability,
    SelectLinkMode,
    Identify,
    BodyCapability,
    Status,
    SetFocusRing,
    EnableDrive,
)
"""The steps of a start-up in order, the same for all bodies that are known (specs/4-session.md §4.3)."""


# Waiting


class Wait(StrEnum):
    """What an end can wait for."""

    WAKE_PULSE = "wake_pulse"
    ANSWER = "answer"
    BUSY = "busy"
    COMMAND = "command"
    DRIVE = "drive"
    REST = "rest"


@record(frozen=True, slots=True)
class Timeout:
    """How long to wait.

    Attributes:
        limit_ns: nanoseconds.
        doc: for what.
        evidence: how sure the figure is.
        source: citation.
    """

    limit_ns: int
    doc: str
    evidence: Evidence
    source: str


# fmt: off
TIMEOUTS: dict[Wait, Timeout] = {
    Wait.WAKE_PULSE: Timeout(100_000_000,      "BODY_ACK raised behind SLEEP to the end of the wake pulse, which is 10 ms in the one lens known", Evidence.PROVISIONAL, "PROJECT"),
    Wait.ANSWER:     Timeout(50_000_000,       "each answer of the lens: an edge of LENS_ACK, a byte",                                       Evidence.PROVISIONAL, "PROJECT"),
    Wait.BUSY:       Timeout(BUSY_SILENCE_NS,  "the end of the work behind a command of shape complete; 0.5 s is known to be accepted",          Evidence.PROVISIONAL, "PROJECT"),
    Wait.COMMAND:    Timeout(50_000_000,       "the rest of a command or block of the body, once it has begun",                              Evidence.PROVISIONAL, "PROJECT"),
    Wait.DRIVE:      Timeout(5_000_000_000,    "the end of a drive: statuses that agree",                                                    Evidence.PROVISIONAL, "PROJECT"),
    Wait.REST:       Timeout(500_000_000,      "a lens that stands still short of its target, until the drive counts as stalled",            Evidence.PROVISIONAL, "PROJECT"),
}
# fmt: on
"""Every wait has a limit; no public source knows one (specs/7-open-questions.md OQ-10)."""


# Following a session


_MOVES = {"move", "scan"}

_SEEN_BY_BODY_ALONE = {Trigger.BROKE_OFF, Trigger.NO_ANSWER, Trigger.GIVEN_UP}

SETTLED_POLLS = 3
"""A drive has ended when so many successive statuses agree (provisional).

Which bit of the status means "moving" is unknown (specs/4-session.md §4.5), so this is inferred from what changes.
"""


class DriveWatch:
    """Tells from successive statuses whether what was driven has come to rest."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] | None = None
        self._alike = 0

    def settled(self, status: Status) -> bool:
        """Take one more status; return whether the last few agree."""
        shown = (status.aperture_f, status.focus_position, status.focus_distance_m, status.zoom_step)
        self._alike = self._alike + 1 if shown == self._last else 1
        self._last = shown
        return self._alike >= SETTLED_POLLS


class Session:
    """Follows a session: one state for each role, by what each of them can see.

    Args:
        state: where it begins.

    Attributes:
        states: the state of each role.
    """

    def __init__(self, state: State = State.OFF) -> None:
        self.states: dict[Role, State] = dict.fromkeys(Role, state)
        self._done = 0
        self._watch = DriveWatch()

    def trigger_of(self, kind: type[Message] | None, message: Message | None = None) -> Trigger:
        """Return what a message is to the session as it stands."""
        if isinstance(message, Drive):
            moves = message.focus_operation in _MOVES or message.aperture_operation == "set"
            return Trigger.DRIVE if moves else Trigger.OTHER
        if kind not in START_UP:
            return Trigger.OTHER
        place = START_UP.index(kind)
        due = 0 if self._done == len(START_UP) else self._done
        if place == due:
            return Trigger.LAST_STEP if place == len(START_UP) - 1 else Trigger.STEP
        return Trigger.POLL if kind is Status else Trigger.OUT_OF_ORDER

    def transition(self, role: Role, trigger: Trigger) -> Transition:
        """Return what a trigger would do to a role."""
        return TRANSITIONS[self.states[role], trigger]

    def apply(self, trigger: Trigger, t_ns: int = 0) -> list[StateChanged]:
        """Take a trigger; return what it changes."""
        changes = []
        for role in (Role.BODY,) if trigger in _SEEN_BY_BODY_ALONE else Role:
            before, after = self.states[role], self.transition(role, trigger).then
            self.states[role] = after
            if before is not after:
                changes.append(StateChanged(t_ns, role, before, after, trigger))
        if trigger in (Trigger.POWER_UP, Trigger.POWER_DOWN):
            self._done = 0
        if trigger is Trigger.DRIVE:
            self._watch = DriveWatch()
        return changes

    def take(self, kind: type[Message] | None, message: Message | None, t_ns: int = 0) -> list[StateChanged]:
        """Take a message whose transaction went well; return what it changes."""
        trigger = self.trigger_of(kind, message)
        changes = self.apply(trigger, t_ns)
        if kind in START_UP and trigger is not Trigger.POLL:
            self._done = START_UP.index(kind) + 1
        if isinstance(message, Status) and State.DRIVING in self.states.values() and self._watch.settled(message):
            changes += self.apply(Trigger.SETTLED, t_ns)
        return changes
