"""What a lens says of its motion over time, and what it was told: the quantities that tools draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.messages import Drive, Status
from m43proto.records import record

if TYPE_CHECKING:
    from m43proto.events import MessageSeen
    from m43proto.schema import Field, Message

__all__ = ["QUANTITIES", "Quantity", "commands_of", "goal_text", "reading_of"]


@record(frozen=True, slots=True)
class Quantity:
    """One quantity.

    Attributes:
        field: the field of Status that tells it.
        name: its name in words.
        unit: its unit in words.
        target: the field of Drive that tells where it shall go, or None.
        goal: what a drive to a value is called; the value stands for the braces.
    """

    field: str
    name: str
    unit: str
    target: str | None = None
    goal: str = ""

    @property
    def declared(self) -> Field:
        """How Status declares it."""
        return _field(Status, self.field)


# fmt: off
QUANTITIES: tuple[Quantity, ...] = (
    Quantity("focus_position",   "focus position",     "counts", "focus_target", "focus to {:d}"),
    Quantity("focus_distance_m", "focus distance",     "m"),
    Quantity("aperture_f",       "effective aperture", "f-number", "aperture_f", "f/{:.3g}"),
    Quantity("zoom_step",        "zoom",               "steps"),
)
# fmt: on


def _field(kind: type[Message], name: str) -> Field:
    return next(field for field in kind.spec.fields if field.name == name)


def reading_of(event: MessageSeen, quantity: Quantity) -> float | None:
    """Return what a message says that a quantity is, or None; a block with a wrong sum says nothing."""
    if event.kind is not Status or not event.transaction.sums_ok:
        return None
    value = event.values.get(quantity.field)
    return value if isinstance(value, int | float) else None


def commands_of(event: MessageSeen) -> dict[str, float]:
    """Return where a drive sends things: targets by the field of the quantity, as far as they have an effect."""
    if event.kind is not Drive:
        return {}
    found: dict[str, float] = {}
    for quantity in QUANTITIES:
        value = event.values.get(quantity.target or "")
        if isinstance(value, int | float) and _field(Drive, quantity.target or "").matters(event.values):
            found[quantity.field] = value
    return found


def goal_text(event: MessageSeen) -> str:
    """Return what a drive asks for, in words."""
    goals = commands_of(event)
    return ", ".join(one.goal.format(goals[one.field]) for one in QUANTITIES if one.field in goals) or "no target"
