"""``python -m m43tools`` is ``m43``."""

from m43tools.cli import entry_point

entry_point()
