"""``python -m m43tools`` is ``m43``."""

from m43tools.entry import entry_point

entry_point()
