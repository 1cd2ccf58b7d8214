import asyncio
import time

import pytest

from tor_async_couchdb.tests.fake_clock import FakeClockLoop, on_a_fake_clock


@on_a_fake_clock
async def test_hours_pass_in_no_time_and_in_order() -> None:
    started_s = time.monotonic()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, hours: float) -> None:
        await asyncio.sleep(hours * 3600)
        woken.append((name, time.monotonic() - started_s))

    await asyncio.gather(sleep("second", 2), sleep("first", 1), sleep("third", 1000))
    assert [name for name, _ in woken] == ["first", "second", "third"]
    assert [waited_s for _, waited_s in woken] == pytest.approx([3600, 7200, 3_600_000])


@on_a_fake_clock
async def test_time_stands_still_while_there_is_work() -> None:
    started_s = time.monotonic()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert time.monotonic() == started_s


def test_waiting_for_what_never_comes_is_an_error() -> None:
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner, pytest.raises(RuntimeError, match="no timer"):
        runner.run(asyncio.Event().wait())
