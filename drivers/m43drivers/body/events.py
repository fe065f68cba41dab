"""What a driver tells: lenses that come and go, and its states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from m43drivers.body.errors import LensError
    from m43drivers.body.lens import Lens
    from m43drivers.body.life import Life

__all__ = ["DriverEvent", "LensAttached", "LensDetached", "LifeChanged"]


@dataclass(frozen=True, slots=True)
class LensAttached:
    """A lens has come up.

    Attributes:
        t_ns: when.
        lens: its handle.
    """

    t_ns: int
    lens: Lens


@dataclass(frozen=True, slots=True)
class LensDetached:
    """The handle of a lens has ended, or that of a mount on which nothing answered.

    Attributes:
        t_ns: when.
        lens: the handle.
        error: why; None when the driver was closed.
    """

    t_ns: int
    lens: Lens
    error: LensError | None


@dataclass(frozen=True, slots=True)
class LifeChanged:
    """The driver is in another state.

    Attributes:
        t_ns: when.
        before: the state that it left.
        after: the state that it is in.
    """

    t_ns: int
    before: Life
    after: Life


DriverEvent: TypeAlias = LensAttached | LensDetached | LifeChanged
