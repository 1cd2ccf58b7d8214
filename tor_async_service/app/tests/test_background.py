import asyncio
import functools

import pytest

from tor_async_service.app.background import Background, BackgroundWorkError
from tor_async_service.app.shutdown import Shutdown, ShutdownTimes
from tor_async_service.http.drain import Drain


class Works:
    """Work that ends when a test says so."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.ended: list[str] = []

    async def forever(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append("forever")

    async def fail(self, error: Exception) -> None:
        await self.go_on.wait()
        raise error

    async def give_up(self) -> None:
        await self.go_on.wait()


@pytest.fixture
def shutdown() -> Shutdown:
    return Shutdown(Drain(), ShutdownTimes())


async def test_work_goes_on_until_it_is_ended(shutdown: Shutdown) -> None:
    background, works = Background(shutdown), Works()
    background.start(works.forever)
    await asyncio.sleep(0)
    await background.end()
    assert works.ended == ["forever"]


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), KeyError("a"), ExceptionGroup("group", [TypeError()])]
)
async def test_work_that_fails_ends_the_service_with_its_error_and_all_other_work(
    shutdown: Shutdown, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    background, works = Background(shutdown), Works()
    background.start(works.forever)
    background.start(functools.partial(works.fail, error))
    background.start(works.give_up)
    works.go_on.set()
    async with asyncio.timeout(10):
        await shutdown.wanted()
    assert f"background work Works.fail failed: {error!r}" in caplog.text  # at once, before the drain
    with pytest.raises(type(error)) as caught:
        await background.end()
    assert caught.value is error
    assert works.ended == ["forever"]


async def test_work_that_returns_ends_the_service(shutdown: Shutdown) -> None:
    background, works = Background(shutdown), Works()
    background.start(works.give_up)
    works.go_on.set()
    async with asyncio.timeout(10):
        await shutdown.wanted()
    with pytest.raises(BackgroundWorkError, match=r"Works\.give_up returned"):
        await background.end()
