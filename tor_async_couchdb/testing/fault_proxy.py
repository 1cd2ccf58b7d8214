"""For tests of services: a proxy that provokes rare faults between a service and CouchDB.

    async with FaultProxy("http://127.0.0.1:5984/fruits") as proxy, Database(proxy.url) as database:
        proxy.inject(cut_after, "_bulk_docs")
        ...  # the next write is applied, and its answer never comes

A fault is a coroutine function of the request; a test can write its own.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

import aiohttp
import yarl
from aiohttp import web

from tor_async_couchdb.wire.endpoint import quote_id

# CouchDB's, and those of a service that the proxy stands in front of.
_FORWARDED = ("Authorization", "Cookie", "Accept", "Content-Type", "Client-Id", "Idempotency-Key", "If-Match")
_FEED_TIMEOUT_S = 120.0  # twice CouchDB's default pause between two heartbeats of a feed


class Request:
    """A request on its way to CouchDB; `path` is as it was sent, with the query string."""

    def __init__(self, incoming: web.BaseRequest, body: bytes, session: aiohttp.ClientSession) -> None:
        self.method, self.path, self.body = incoming.method, incoming.raw_path, body
        self.incoming = incoming
        self._headers = {name: incoming.headers[name] for name in _FORWARDED if name in incoming.headers}
        self._session = session

    async def forward(self) -> web.Response:
        """CouchDB's answer to the request."""
        return await self.ask(self.method, self.path, self.body)

    async def ask(self, method: str, path: str, body: bytes = b"") -> web.Response:
        """CouchDB's answer to another request with the same credentials."""
        url = yarl.URL(path, encoded=True)
        async with self._session.request(method, url, data=body or None, headers=self._headers) as answer:
            content = await answer.read()
            cookies = [("Set-Cookie", cookie) for cookie in answer.headers.getall("Set-Cookie", [])]
            return web.Response(status=answer.status, body=content, headers=[_type_of(answer), *cookies])

    async def relay(self) -> web.StreamResponse:
        """Passes CouchDB's answer on as it comes, for instance a feed that never ends."""
        async with self._session.request(
            self.method,
            yarl.URL(self.path, encoded=True),
            data=self.body or None,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_read=_FEED_TIMEOUT_S),
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=[_type_of(answer)])
            await response.prepare(self.incoming)
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
            return response

    async def change_documents(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Changes the documents that this `_bulk_docs` request will write, before it arrives.

        `change` gets each document as it is in CouchDB, or only its `_id` if it is missing, and returns the
        document to save. Each save makes a new revision.
        """
        changed = []
        for document in json.loads(self.body)["docs"]:
            path = self.path.replace("_bulk_docs", quote_id(document["_id"]))
            answer = await self.ask("GET", path)
            current = json.loads(answer.text or "") if answer.status == 200 else {"_id": document["_id"]}
            changed.append(change(current))
        await self.ask("POST", self.path, json.dumps({"docs": changed}).encode())

    def cut(self) -> web.Response:
        """Cuts the connection. The returned response never arrives."""
        if self.incoming.transport is not None:
            self.incoming.transport.abort()
        return web.Response()


def _type_of(answer: aiohttp.ClientResponse) -> tuple[str, str]:
    # With its parameters: a replicator needs the boundary between the parts of an answer.
    return "Content-Type", answer.headers.get("Content-Type", "application/octet-stream")


Fault = Callable[[Request], Awaitable[web.StreamResponse]]


async def cut_before(request: Request) -> web.StreamResponse:
    """The connection breaks before CouchDB gets the request."""
    return request.cut()


async def cut_after(request: Request) -> web.StreamResponse:
    """The connection breaks after CouchDB has handled the request, before its answer arrives."""
    await request.forward()
    return request.cut()


async def cut_within(request: Request) -> web.StreamResponse:
    """The connection breaks in the middle of CouchDB's answer."""
    body = ((await request.forward()).text or "").encode()
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request.incoming)
    await response.write(body[: len(body) // 2])
    return request.cut()


async def never_answer(request: Request) -> web.StreamResponse:
    """The request is lost, and the connection stays open."""
    await asyncio.Event().wait()
    return request.cut()


def delayed(seconds: float) -> Fault:
    """The request arrives `seconds` late, even if its sender has given up by then."""

    async def fault(request: Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await request.forward()

    return fault


def answered(status: int, text: str = "", *, headers: Mapping[str, str] | None = None) -> Fault:
    """Another server answers in CouchDB's place, such as a gateway."""

    async def fault(request: Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return fault


def changed_first(change: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Fault:
    """Another client changes the documents of a `_bulk_docs` just before it arrives, so it meets conflicts.

    Without `change` the other client saves them as they are, which makes new revisions too.
    """

    async def fault(request: Request) -> web.StreamResponse:
        await request.change_documents(change)
        return await request.forward()

    return fault


class FaultProxy:
    """An HTTP proxy on a free port of 127.0.0.1, in front of the CouchDB at the URL `target`.

    It listens inside `async with`, and on the same port when it is entered again; in between it refuses
    connections. `requests` has all requests that arrived, in order, unless `is_forgetful`: a proxy that runs
    for hours must be.
    """

    def __init__(self, target: str, *, is_forgetful: bool = False) -> None:
        self._is_forgetful = is_forgetful
        self._target = yarl.URL(target)
        self._port = 0
        self._faults: list[tuple[Fault, str, float]] = []
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        """The target's URL through the proxy."""
        return str(self._target.with_scheme("http").with_host("127.0.0.1").with_port(self._port))

    def inject(self, fault: Fault, path_part: str = "", *, times: float = 1) -> None:
        """Makes `fault` happen to the next `times` requests (math.inf: all) with `path_part` in their path.

        Each request meets the first injected fault that is left for it; if there is none, it is forwarded.
        """
        self._faults.append((fault, path_part, times))

    def clear(self) -> None:
        """Removes all faults that are left."""
        self._faults.clear()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self._target.origin(), cookie_jar=aiohttp.DummyCookieJar())
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        request = Request(incoming, await incoming.content.read(), self._session)
        if not self._is_forgetful:
            self.requests.append(request)
        try:
            return await self._next_fault(request.path)(request)
        except aiohttp.ClientError:  # CouchDB itself can't be reached
            return request.cut()

    def _next_fault(self, path: str) -> Fault:
        for i, (fault, path_part, times) in enumerate(self._faults):
            if path_part in path:
                self._faults[i : i + 1] = [(fault, path_part, times - 1)] if times > 1 else []
                return fault
        return Request.forward
