"""Words for where a session is and what leads on; what they do to each other stands in `m43proto.session`."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["State", "Trigger"]


class State(StrEnum):
    """Where a session is."""

    UNSEEN = "unseen"
    OFF = "off"
    WAKING = "waking"
    INITIALISING = "initialising"
    READY = "ready"
    DRIVING = "driving"
    PASSIVE = "passive"
    GONE = "gone"
    FAILED = "failed"

    @property
    def meaning(self) -> str:
        """One sentence for the reader."""
        return _STATE_MEANINGS[self]


_STATE_MEANINGS = {
    State.UNSEEN: "The traffic was joined in its middle; nobody knows what was before.",
    State.OFF: "SLEEP is low.",
    State.WAKING: "SLEEP has risen and the wake pulse is awaited.",
    State.INITIALISING: "The commands of the start-up go over the bus.",
    State.READY: "The start-up is through and the body polls.",
    State.DRIVING: "A drive was sent, and the statuses behind it still change.",
    State.PASSIVE: "Nothing answers: there is no lens, or one without electronics.",
    State.GONE: "The lens does not answer any more.",
    State.FAILED: "The body has given the lens up; only switching off leads out.",
}


class Trigger(StrEnum):
    """What can lead from one state to another."""

    POWER_UP = "power_up"
    WAKE_PULSE = "wake_pulse"
    STEP = "step"
    LAST_STEP = "last_step"
    OUT_OF_ORDER = "out_of_order"
    POLL = "poll"
    DRIVE = "drive"
    OTHER = "other"
    SETTLED = "settled"
    BROKE_OFF = "broke_off"
    NO_ANSWER = "no_answer"
    GIVEN_UP = "given_up"
    POWER_DOWN = "power_down"

    @property
    def meaning(self) -> str:
        """One clause for the reader."""
        return _TRIGGER_MEANINGS[self]


_TRIGGER_MEANINGS = {
    Trigger.POWER_UP: "SLEEP rises",
    Trigger.WAKE_PULSE: "the lens gives its wake pulse",
    Trigger.STEP: "a message of the start-up, in its order, but the last",
    Trigger.LAST_STEP: "the last message of the start-up",
    Trigger.OUT_OF_ORDER: "a message of the start-up out of its order",
    Trigger.POLL: "a status message outside the start-up's order",
    Trigger.DRIVE: "a drive that moves something",
    Trigger.OTHER: "any other message",
    Trigger.SETTLED: "successive statuses agree",
    Trigger.BROKE_OFF: "the lens falls silent in the middle of a transaction",
    Trigger.NO_ANSWER: "the lens does not answer in time",
    Trigger.GIVEN_UP: "the body has tried often enough",
    Trigger.POWER_DOWN: "SLEEP falls",
}
