import asyncio
import logging

import pytest

from tor_async_couchdb.tests.waiting import wait_until
from watch.watching.rounds import repeat
from watch.watching.world import World


@pytest.mark.parametrize("error", [KeyError("leader"), TypeError("x"), RecursionError(), TimeoutError()])
async def test_round_that_fails_is_followed_by_the_next(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world, rounds = World(), 0

    async def look() -> None:
        nonlocal rounds
        rounds += 1
        raise error

    with world.watched():
        repeating = asyncio.create_task(repeat(world, look, interval_s=0.0))
        await wait_until(lambda: rounds > 3 or repeating.done())
        assert not repeating.done()
        repeating.cancel()
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    is_expected = isinstance(error, TimeoutError | RecursionError)
    assert len(logged) == (0 if is_expected else 1)
