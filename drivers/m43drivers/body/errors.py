"""What can go wrong between a caller and a lens, one type for each.

::

    LensError                    everything below
    ├── LensRefusedError         the value is out of the lens's range, or not to be had (also a ValueError)
    ├── LensTransactionError     a transaction went wrong as often as it was tried; the lens is back, or will be
    ├── LensGoneError            the lens does not answer any more, or another one has taken its place
    ├── LensPassiveError         nothing on the mount answers: no lens, or one without electronics
    ├── LensAsleepError          the lens has been put to sleep
    ├── LensFailedError          the lens was given up, the transport is lost (its cause is the first fatal error), or
    │                            the driver is closed
    └── DriveError               a drive did not end where it should; has the last status
        ├── DriveStalledError    it stands still short of the target
        ├── DriveOvershotError   it stands still behind the target
        ├── DriveTimeoutError    it had not come to rest when the time was up (also a TimeoutError)
        └── DriveSupersededError another drive took its place
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.errors import M43Error

if TYPE_CHECKING:
    from m43drivers.body.status import LensStatus

__all__ = [
    "DriveError",
    "DriveOvershotError",
    "DriveStalledError",
    "DriveSupersededError",
    "DriveTimeoutError",
    "LensAsleepError",
    "LensError",
    "LensFailedError",
    "LensGoneError",
    "LensPassiveError",
    "LensRefusedError",
    "LensTransactionError",
]


class LensError(M43Error):
    """A lens cannot do what a caller asks; the text is one line that says what to do."""


class LensRefusedError(LensError, ValueError):
    """The value is out of the range of the lens, or the lens has no such thing; nothing was sent."""


class LensTransactionError(LensError):
    """A transaction went wrong as often as it was tried."""


class LensGoneError(LensError):
    """The lens does not answer any more, or another one has taken its place."""


class LensPassiveError(LensError):
    """Nothing on the mount answers."""


class LensAsleepError(LensError):
    """The lens has been put to sleep."""


class LensFailedError(LensError):
    """The lens was given up, the transport lost, or all closed; ``__cause__`` is the first fatal error, if any."""


class DriveError(LensError):
    """A drive did not end where it should.

    Attributes:
        status: the last status of the lens.
    """

    def __init__(self, message: str, status: LensStatus | None) -> None:
        super().__init__(message)
        self.status = status


class DriveStalledError(DriveError):
    """The lens stands still short of the target."""


class DriveOvershotError(DriveError):
    """The lens stands still behind the target."""


class DriveTimeoutError(DriveError, TimeoutError):
    """The drive had not come to rest when the time was up."""


class DriveSupersededError(DriveError):
    """Another drive took the place of this one before it had ended."""
