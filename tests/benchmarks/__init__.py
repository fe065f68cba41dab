"""Measurements, as ratios against a peer in one run; not part of the test suite."""
