"""Which lens an identity belongs to: the lens database without its columns for people."""

from __future__ import annotations

from collections import namedtuple

__all__ = ["Lens", "find_lens"]

Lens = namedtuple("Lens", ["name"])

# maker, model and sub-model -> name
_NAMES = {}


def find_lens(maker, model, submodel):
    """Return the lens of an identity, or None."""
    name = _NAMES.get((maker, model, submodel))
    return None if name is None else Lens(name)
