"""Services in the process of the test, and the form of their problem documents."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import tornado.httpserver
import tornado.netutil

from tor_async_service.app.application import ServiceApplication


@contextlib.asynccontextmanager
async def serving(app: ServiceApplication) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the service, which listens on a free port."""
    server = tornado.httpserver.HTTPServer(app)
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with aiohttp.ClientSession(url, timeout=timeout) as client:
            yield client
    finally:
        server.stop()
        await server.close_all_connections()


async def problem_of(response: aiohttp.ClientResponse, status: int) -> dict[str, Any]:
    """The answer's problem document (RFC 9457); fails if it is none."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = await response.json(content_type=None)
    assert problem["status"] == status
    assert problem["title"]
    assert len(problem["detail"]) > 5
    assert "Traceback" not in problem["detail"]
    return problem
