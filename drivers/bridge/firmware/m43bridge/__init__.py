"""The firmware of the bridge: plain Python that runs on MicroPython and on CPython (specs/11-bridge-link.md)."""
