"""Where a driver is with its lens: the states of the session, as a user of the driver sees them."""

from __future__ import annotations

from enum import StrEnum

from m43proto.states import State

__all__ = ["LIVES", "UP", "Life"]


class Life(StrEnum):
    """Where a driver is with its lens: the states of the session, with the two reasons for SLEEP being low apart.

    ``ASLEEP``, ``PASSIVE`` and ``FAILED`` are the states in which a driver may stay; from all others it comes back to
    ``READY`` or to one of these by itself. A mount that is ``PASSIVE`` is asked again about once a second, and stays
    ``PASSIVE`` meanwhile. Out of ``FAILED`` leads `BodyDriver.wake`, if the transport still lives.
    """

    ABSENT = "absent"
    WAKING = "waking"
    INITIALISING = "initialising"
    READY = "ready"
    DRIVING = "driving"
    ASLEEP = "asleep"
    PASSIVE = "passive"
    GONE = "gone"
    FAILED = "failed"


LIVES = {
    State.WAKING: Life.WAKING,
    State.INITIALISING: Life.INITIALISING,
    State.READY: Life.READY,
    State.DRIVING: Life.DRIVING,
    State.PASSIVE: Life.PASSIVE,
    State.GONE: Life.GONE,
    State.FAILED: Life.FAILED,
}
"""What a state of the session is to a user; SLEEP being low has two reasons, which the session does not know."""

UP = (Life.READY, Life.DRIVING)
"""The states in which a lens takes commands."""
