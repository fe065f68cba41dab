"""An event loop on virtual time: when nothing is ready, the time jumps to the next timer.

`run` runs a coroutine to its end; a seed shuffles what is ready at one moment, so that tests can look at many orders.
A loop in which nothing will ever happen is a deadlock, and raises.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class DeadlockError(AssertionError):
    """Nothing is ready, and no timer will ever make anything ready."""


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that does not wait, but lets the time jump."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout is None:
            raise DeadlockError("nothing is ready, and nothing ever will be")
        if not ready and timeout and self.loop is not None:
            self.loop.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its time begins at 1000 s."""

    def __init__(self, seed: int | None = None) -> None:
        self._now_s = 1000.0
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._rng = None if seed is None else random.Random(seed)
        self.steps = 0
        self._at_steps: dict[int, Callable[[], object]] = {}

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        self._now_s += seconds

    def call_in_steps(self, steps: int, call: Callable[[], object]) -> None:
        """Call something when the loop has gone round so many times more, whatever the time is then."""
        self._at_steps[self.steps + steps] = call

    def _run_once(self) -> None:
        self.steps += 1
        call = self._at_steps.pop(self.steps, None)
        if call is not None:
            self.call_soon(call)
        ready: Any = self._ready  # type: ignore[attr-defined]
        if self._rng is not None and len(ready) > 1:
            shuffled = list(ready)
            self._rng.shuffle(shuffled)
            ready.clear()
            ready.extend(shuffled)
        super()._run_once()  # type: ignore[misc]


def run(coroutine: Coroutine[Any, Any, T], *, seed: int | None = None) -> T:
    """Run a coroutine on virtual time; no task may be left behind."""
    loop = VirtualLoop(seed)
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(coroutine)
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, left
        return result
    finally:
        left = list(asyncio.all_tasks(loop))
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=10))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
