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
