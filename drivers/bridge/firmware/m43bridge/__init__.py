"""The firmware of the bridge: plain Python that runs on MicroPython and on CPython (specs/10-bridge-link.md)."""
