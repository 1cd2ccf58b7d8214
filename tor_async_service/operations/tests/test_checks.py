import asyncio

import pytest

from tor_async_couchdb.errors import ConnectError
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.operations.checks import CachedChecks, UnhealthyError, failures


async def well() -> None:
    pass


async def unwell() -> None:
    raise UnhealthyError("no fruit left")


async def unreachable() -> None:
    raise ConnectError("no connection")


async def stuck() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise KeyError("stomach")


async def test_each_check_that_fails_has_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    checks = {"a": well, "b": unwell, "c": unreachable, "d": stuck, "e": broken}
    assert await failures(checks, 0.01) == {
        "b": "no fruit left",
        "c": "unreachable",
        "d": "too slow",
        "e": "the check failed",
    }
    (record,) = caplog.records
    assert "KeyError: 'stomach'" in caplog.text
    assert "check e " in record.getMessage()


async def test_checks_run_at_the_same_time() -> None:
    barrier = asyncio.Barrier(3)

    async def meet() -> None:
        await barrier.wait()

    async with asyncio.timeout(10):
        assert await failures({"a": meet, "b": meet, "c": meet}, 10) == {}


class Counted:
    """A check that counts its runs, and a clock for what remembers its result."""

    def __init__(self) -> None:
        self.count = 0
        self.now_s = 100.0
        self.go_on = asyncio.Event()
        self.cached = CachedChecks({"a": self.check}, clock=lambda: self.now_s)

    async def check(self) -> None:
        self.count += 1
        await self.go_on.wait()
        raise UnhealthyError(f"run {self.count}")


async def test_result_is_remembered_for_a_second() -> None:
    counted = Counted()
    counted.go_on.set()
    assert await counted.cached.failures() == {"a": "run 1"}
    counted.now_s += 0.99
    assert await counted.cached.failures() == {"a": "run 1"}
    counted.now_s += 0.01
    assert await counted.cached.failures() == {"a": "run 2"}


async def test_those_that_ask_at_the_same_time_share_a_run_that_outlives_them() -> None:
    counted = Counted()
    first, second = (asyncio.create_task(counted.cached.failures()) for _ in range(2))
    await wait_until(lambda: counted.count > 0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    counted.now_s += 60
    counted.go_on.set()
    assert await second == {"a": "run 1"}
