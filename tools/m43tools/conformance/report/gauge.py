"""A measurement -> a small bar: where its values lie between zero, or the least that is allowed, and the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m43tools.conformance.model import Measurement

__all__ = ["gauge_of"]

_WIDTH, _HEIGHT = 160.0, 16.0
_ROOM = 0.12
"""Share of the bar that is kept free behind the outermost value or limit."""


def gauge_of(one: Measurement) -> str:
    """Return an SVG element: the span from least to most, a tick at the median, and a line at each limit."""
    limits = [limit for limit in (one.low, one.high) if limit is not None]
    if not limits:
        return ""
    lowest, highest = min(0.0, one.minimum, *limits), max(one.maximum, *limits)
    if one.low is not None and one.high is not None:
        lowest = min(one.low, one.minimum) - _ROOM * (highest - min(one.low, one.minimum))
    span = (highest - lowest) * (1 + _ROOM) or 1.0

    def x(value: float) -> str:
        return f"{(value - lowest) / span * _WIDTH:.1f}"

    width = max((one.maximum - one.minimum) / span * _WIDTH, 2.0)
    return (
        f'<svg class="gauge" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" '
        'aria-hidden="true"><path class="track" d="M 0 8 H 160"/>'
        f'<rect class="span" x="{x(one.minimum)}" y="5" width="{width:.1f}" height="6"/>'
        f'<path class="median" d="M {x(one.median)} 3 v 10"/>'
        + "".join(f'<path class="limit" d="M {x(limit)} 1 v 14"/>' for limit in limits)
        + "</svg>"
    )
