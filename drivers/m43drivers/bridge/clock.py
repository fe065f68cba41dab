"""The bridge's clock on the host's: which time of the host a time of the bridge is."""

from __future__ import annotations

__all__ = ["DRIFT", "BridgeClock"]

DRIFT = 200e-6
"""By which share two crystals may run apart, at most: 100 ppm each (provisional; common crystals are better)."""


class BridgeClock:
    """Maps microseconds of the bridge to nanoseconds of the host.

    The quickest exchange says it best: what the bridge did lies between sending and receiving, in the middle as far as
    anybody knows. An exchange that is less quick takes over once the clocks may have run apart by the difference.
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._doubt_ns = 0
        self._at_ns = 0
        self._last_ns = 0

    @property
    def known(self) -> bool:
        """Whether there has been an exchange."""
        return self._offset_ns is not None

    def learn(self, sent_ns: int, start_us: int, end_us: int, received_ns: int) -> None:
        """Take an exchange: sent and received by the host's clock, begun and ended by the bridge's."""
        doubt_ns = (received_ns - sent_ns) - (end_us - start_us) * 1000
        if doubt_ns < 0:
            return
        if self._offset_ns is None or doubt_ns <= self._doubt_ns + (received_ns - self._at_ns) * DRIFT:
            self._offset_ns = (sent_ns + received_ns - (start_us + end_us) * 1000) // 2
            self._doubt_ns = doubt_ns
            self._at_ns = received_ns

    def raw_ns(self, t_us: int) -> int:
        """Return the host's time of a time of the bridge, as well as it is known now; `known` must be true."""
        assert self._offset_ns is not None
        return t_us * 1000 + self._offset_ns

    def host_ns(self, t_us: int, now_ns: int) -> int:
        """Return the same, but never later than now, and never earlier than what was returned before."""
        self._last_ns = max(self._last_ns, min(self.raw_ns(t_us), now_ns))
        return self._last_ns
