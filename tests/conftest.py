"""Which tests measure the coverage of `m43proto`, its own and nobody else's; and Ctrl-C for the programs of all tests.

What the other tests happen to pass through proves little about the protocol, and measuring makes them several times
slower.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

TESTS = Path(__file__).parent

OF_THE_PROTOCOL = {
    TESTS / f"test_{name}.py"
    for name in ("catalogues", "connection", "encodings", "ends", "messages", "schema", "session", "tables")
}
"""The files that `m43proto` is held to 100 % of its branches by."""


def pytest_configure() -> None:
    """Undo what a shell does to what it starts in the background: programs that ignore Ctrl-C hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Stop measuring while a test of something else runs."""
    for item in items:
        if item.path not in OF_THE_PROTOCOL:
            item.add_marker("no_cover")
