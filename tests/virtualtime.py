"""An event loop whose time jumps: nothing sleeps, and a seed decides which of several ready tasks goes first."""

from __future__ import annotations

import asyncio
import random
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Coroutine, Mapping

__all__ = ["DeadlockError", "VirtualLoop", "run"]

_T = TypeVar("_T")


class DeadlockError(AssertionError):
    """Every task waits, no timer runs and no descriptor is ready: nothing would ever happen again."""


class _Jumping(selectors.DefaultSelector):
    """Where the real selector would wait, the loop's time jumps."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise DeadlockError("every task waits, and no timer runs")
        self.loop.now_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that is never late; see `run`.

    Attributes:
        now_s: its time in seconds; it begins at 1000.
        steps: how often it has gone round.
        problems: what was given to the exception handler.
    """

    _ready: deque[asyncio.Handle]

    def __init__(self, seed: int | None = None) -> None:
        selector = _Jumping()
        selector.loop = self
        self.now_s = 1000.0
        self.steps = 0
        self.problems: list[Mapping[str, Any]] = []
        self._at_steps: dict[int, Callable[[], object]] = {}
        self._draws = None if seed is None else random.Random(seed)
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.problems.append(context))

    def time(self) -> float:
        return self.now_s

    def call_in_steps(self, steps: int, call: Callable[[], object]) -> None:
        """Call something when the loop has gone round so many times more, whatever the time is then."""
        self._at_steps[self.steps + steps] = call

    def _run_once(self) -> None:
        self.steps += 1
        call = self._at_steps.pop(self.steps, None)
        if call is not None:
            self.call_soon(call)
        if self._draws is not None:
            self._shuffle(self._draws)
        super()._run_once()  # type: ignore[misc]  # typeshed leaves it out

    def _shuffle(self, draws: random.Random) -> None:
        """Let the ready tasks change places; callbacks keep theirs, for asyncio promises their order."""
        places = [place for place, handle in enumerate(self._ready) if _is_step(handle)]
        steps = draws.sample([self._ready[place] for place in places], len(places))
        for place, handle in zip(places, steps, strict=True):
            self._ready[place] = handle


def _is_step(handle: asyncio.Handle) -> bool:
    callback = handle._callback  # type: ignore[attr-defined]  # typeshed leaves it out
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)


def run(main: Coroutine[Any, Any, _T], *, seed: int | None = None) -> _T:
    """Run a coroutine in virtual time and return its result.

    Args:
        main: what to run.
        seed: shuffles the ready tasks, always in the same way; None leaves them in asyncio's order.

    Raises:
        DeadlockError: nothing would ever happen again.
        AssertionError: tasks were left running, or an exception had no taker.
    """
    loops: list[VirtualLoop] = []

    def factory() -> VirtualLoop:
        loops.append(VirtualLoop(seed))
        return loops[0]

    async def watched() -> _T:
        result = await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left running: {left}"
        return result

    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(watched())
    assert not loops[0].problems, f"nobody took: {loops[0].problems}"
    return result
