"""A fruit service in memory that breaks its promises on request."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from loadgen.answers import OUTCOME_UNKNOWN_PROBLEM


@dataclass
class Service:
    """The fruits, what was asked, and what goes wrong with each n-th update (0: with none)."""

    conflict_each: int = 0
    resolve_each: int = 0
    lose_each: int = 0
    double_each: int = 0
    forget_answer_each: int = 0
    unknown_each: int = 0
    refuse_each: int = 0
    hang_each: int = 0
    create_at_most: int = 1_000_000
    stale_each: int = 0
    """Each n-th read of a changed fruit shows it as it was before its last change."""
    refuse_reads: int = 0
    """So many more reads are answered 503."""
    has_etags: bool = False
    """The answer for one fruit has an ETag, and a change needs If-Match (as in crud/conditional)."""
    wants_keys: bool = False
    """A write needs an Idempotency-Key, and a repeat with the same key changes nothing."""
    url: str = ""
    updates: int = 0
    reads: int = 0
    change_counts: dict[str, int] = field(default_factory=dict)
    change_counts_by_key: dict[str, int] = field(default_factory=dict)

    def nth(self, each: int) -> bool:
        """Whether this update's turn has come."""
        return each > 0 and self.updates % each == 0


class _Handler(RequestHandler):
    def initialize(self, service: Service) -> None:
        self.service = service

    def prepare(self) -> None:
        is_write = self.request.method != "GET"
        if is_write and self.service.wants_keys and "Idempotency-Key" not in self.request.headers:
            self.problem(400, title="A write needs an Idempotency-Key")
            self.finish()

    def compute_etag(self) -> None:
        """No ETags but the service's own."""

    def answer(self, status: int, fruit_id: str, behind: int = 0) -> None:
        self.set_status(status)
        change_count = max(0, self.service.change_counts[fruit_id] - behind)
        if self.service.has_etags:
            self.set_header("ETag", f'"{change_count}"')
        self.write({"fruit_id": fruit_id, "change_count": change_count, "created_on": "2026-11-26"})

    def problem(self, status: int, problem_type: str = "about:blank", title: str = "") -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/problem+json")
        self.write({"type": problem_type, "title": title or HTTPStatus(status).phrase, "status": status})


class _Fruits(_Handler):
    def post(self) -> None:
        if len(self.service.change_counts) >= self.service.create_at_most:
            self.problem(503)
            return
        fruit_id = uuid.uuid4().hex
        self.service.change_counts[fruit_id] = 0
        self.answer(201, fruit_id)


class _Fruit(_Handler):
    def get(self, fruit_id: str) -> None:
        if self.service.refuse_reads:
            self.service.refuse_reads -= 1
            self.problem(503)
        elif fruit_id in self.service.change_counts:
            self.service.reads += 1
            is_stale = self.service.stale_each > 0 and self.service.reads % self.service.stale_each == 0
            self.answer(200, fruit_id, behind=int(is_stale))
        else:
            self.problem(404)

    def delete(self, fruit_id: str) -> None:
        if self.service.has_etags and "If-Match" not in self.request.headers:
            self.problem(428)
        elif self.service.change_counts.pop(fruit_id, None) is None:
            self.problem(404)

    def precondition(self, fruit_id: str) -> int:
        """The status if `If-Match` is not met, otherwise 0."""
        if "If-Match" not in self.request.headers:
            return 428
        return 0 if self.request.headers["If-Match"] == f'"{self.service.change_counts[fruit_id]}"' else 412

    async def put(self, fruit_id: str) -> None:
        service = self.service
        service.updates += 1
        if service.has_etags and (status := self.precondition(fruit_id)):
            self.problem(status)
            return
        key = self.request.headers.get("Idempotency-Key", "")
        if key in service.change_counts_by_key:
            self.answer(
                200, fruit_id, behind=service.change_counts[fruit_id] - service.change_counts_by_key[key]
            )
            return
        if service.nth(service.hang_each):
            await asyncio.sleep(3600)
        if service.nth(service.conflict_each):
            self.set_header("Conflict-Count", "2")
            self.problem(409)
            return
        if service.nth(service.refuse_each):
            self.problem(503)
            return
        service.change_counts[fruit_id] += 2 if service.nth(service.double_each) else 1
        if key:
            service.change_counts_by_key[key] = service.change_counts[fruit_id]
        if service.nth(service.unknown_each):
            self.problem(503, OUTCOME_UNKNOWN_PROBLEM)
        elif service.nth(service.forget_answer_each):
            self.detach().close()
        else:
            if service.nth(service.resolve_each):
                self.set_header("Conflict-Count", "1")
            self.answer(200, fruit_id)
            service.change_counts[fruit_id] -= service.nth(service.lose_each)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Serve at `service.url`, from a thread of its own."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        routes = [("/v1.0/fruits", _Fruits), ("/v1.0/fruits/([0-9a-f]{32})", _Fruit)]
        server = HTTPServer(Application([(path, handler, {"service": service}) for path, handler in routes]))
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        service.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    loop, stop = started.result(timeout=10)
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
