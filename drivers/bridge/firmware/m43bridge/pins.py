"""Which GPIO is which line; change it to suit your wiring."""

DATA = 2
"""BODY_ACK and LENS_ACK are the two behind it: the PIO program counts its pins from DATA."""

BODY_ACK = DATA + 1
LENS_ACK = DATA + 2
CLK = 5
SLEEP = 6
FOCUS = 7
SHUTTER = 8

KEEP_OUT = 9
"""Tied to ground at start, it keeps the bridge from starting, so that the board can be reached to change its files."""
