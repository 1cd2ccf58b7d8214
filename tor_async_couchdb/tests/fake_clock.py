"""A clock that a test winds on: hours pass in no time, and a test sees for certain that nothing happens."""

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec
from unittest import mock

P = ParamSpec("P")


class _NeverWaiting(selectors.SelectSelector):
    """Reports how long it would have waited for I/O, and does not wait."""

    def __init__(self, pass_time: Callable[[float], None]) -> None:
        super().__init__()
        self._pass_time = pass_time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("all tasks wait, and no timer will ever wake one of them")
        if not ready and timeout is not None:
            self._pass_time(timeout)
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while there is work, and then jumps to the next timer.

    Nothing in it may wait for another process or thread.
    """

    def __init__(self) -> None:
        self._now_s = time.monotonic()
        super().__init__(_NeverWaiting(self._pass_time))

    def time(self) -> float:
        """The time of the fake clock, in seconds."""
        return self._now_s

    def _pass_time(self, duration_s: float) -> None:
        self._now_s += duration_s


def on_a_fake_clock(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async test on a fake clock, which `time.monotonic` shows too."""

    @functools.wraps(test)
    def run(*arguments: P.args, **fixtures: P.kwargs) -> None:
        loop = FakeClockLoop()
        with mock.patch("time.monotonic", loop.time), asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(test(*arguments, **fixtures))

    return run
