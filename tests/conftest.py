"""Which tests measure the coverage of `m43proto`, its own and nobody else's; and Ctrl-C for the programs of all tests.

What the other tests happen to pass through proves little about the protocol, and measuring makes them several times
slower.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

TESTS = Path(__file__).parent

OF_THE_PROTOCOL = {
    TESTS / f"test_{name}.py"
    for name in ("catalogues", "connection", "encodings", "ends", "messages", "records", "schema", "session", "tables")
}
"""The files that `m43proto` is held to 100 % of its branches by."""


def pytest_configure() -> None:
    """Undo what a shell does to what it starts in the background: programs that ignore Ctrl-C hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stop measuring while a test of something else runs, with its fixtures.

    The marker `no_cover` of pytest-cov leaves the fixtures out, and does nothing in the processes of pytest-xdist.
    """
    if item.path in OF_THE_PROTOCOL:
        return (yield)
    tracer, tracer_of_threads = sys.gettrace(), threading.gettrace()
    _trace(None, None)
    try:
        return (yield)
    finally:
        _trace(tracer, tracer_of_threads)


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_remembered(request: pytest.FixtureRequest) -> None:
    """Have the protocol's own tests run what a test of something else has run before, and what is kept since."""
    if request.path not in OF_THE_PROTOCOL:
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "m43proto":
            for kept in vars(module).values():
                getattr(kept, "cache_clear", lambda: None)()


def _trace(tracer: object, tracer_of_threads: object) -> None:
    sys.settrace(tracer)  # type: ignore[arg-type]
    threading.settrace(tracer_of_threads)  # type: ignore[arg-type]
