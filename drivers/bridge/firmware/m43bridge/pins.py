"""Which GPIO is which line; change it to suit your wiring."""

DATA = 2
"""BODY_ACK and LENS_ACK are the two behind it: the PIO program counts its pins from DATA."""

BODY_ACK = DATA + 1
LENS_ACK = DATA + 2
CLK = DATA + 3
SLEEP = DATA + 4
FOCUS = DATA + 5
SHUTTER = DATA + 6
"""To listen, all lines stand side by side in this order, with `KEEP_OUT` and `MARK` behind them."""

KEEP_OUT = DATA + 7
"""Tied to ground at start, it keeps the bridge from starting, so that the board can be reached to change its files."""

MARK = DATA + 8
"""Leave it open: a bridge that listens marks on it, for itself, where CLK runs."""
