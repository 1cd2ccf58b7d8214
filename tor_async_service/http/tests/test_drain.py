import asyncio
from typing import cast

import tornado.web

from tor_async_service.http.drain import Drain


def request() -> tornado.web.RequestHandler:
    return cast("tornado.web.RequestHandler", object())  # only compared


async def test_idle_service_ends_at_once() -> None:
    assert await Drain().wait(0) == 0


async def test_draining_waits_for_all_requests_in_flight() -> None:
    drain, first, second = Drain(), request(), request()
    drain.begin(first)
    drain.begin(second)
    waiting = asyncio.create_task(drain.wait(10))
    drain.end(first)
    await asyncio.sleep(0)
    assert not waiting.done()
    drain.end(second)
    assert await waiting == 0


async def test_draining_ends_at_its_timeout_and_counts_the_requests_left() -> None:
    drain = Drain()
    for _ in range(3):
        drain.begin(request())
    assert await drain.wait(0.01) == 3


async def test_request_that_ends_twice_is_one_request() -> None:
    drain, first, second = Drain(), request(), request()
    drain.begin(first)
    drain.begin(second)
    drain.end(first)
    drain.end(first)
    assert await drain.wait(0) == 1


async def test_announced_end_lets_streams_go_on() -> None:
    drain = Drain()
    assert not drain.is_draining
    drain.announce()
    assert drain.is_draining
    assert not drain.started.is_set()


async def test_streams_end_before_the_drain_waits_for_them() -> None:
    drain = Drain()

    async def stream() -> None:
        handler = request()
        drain.begin(handler)
        await drain.started.wait()
        drain.end(handler)

    streams = [asyncio.create_task(stream()) for _ in range(2)]
    await asyncio.sleep(0)
    drain.announce()
    assert await drain.wait(10) == 0
    await asyncio.gather(*streams)


async def test_draining_that_is_given_up_ends_at_once() -> None:
    drain = Drain()
    drain.begin(request())
    waiting = asyncio.create_task(drain.wait(60))
    await asyncio.sleep(0)
    drain.give_up()
    async with asyncio.timeout(10):
        assert await waiting == 1
