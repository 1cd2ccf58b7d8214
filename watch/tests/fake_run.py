"""A run that tests control: its control API, and services whose metrics and events are what a test says.

It has the contract of `suite.control.server`, and runs in a thread of its own.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Self

import msgspec
import tornado.httpserver
import tornado.iostream
import tornado.netutil
import tornado.web
from prometheus_client import generate_latest

from tor_async_service.events import Event
from tor_async_service.metrics import ServiceMetrics

_TIMEOUT_S = 10.0
RUN_TOKEN = "the run's own"

CRUD = (
    "crud/basic",
    "crud/retry",
    "crud/exp_backoff",
    "crud/group_commit",
    "crud/conditional",
    "crud/idempotent",
    "crud/append_only",
    "crud/migration",
)


class FakeService:
    """A service of the run: it counts and streams what a test wants."""

    def __init__(self, label: str, url: str) -> None:
        self.label = label
        self.sample = label.partition(" (")[0]
        self.url = url
        self.database_url = "http://127.0.0.1:1/none"
        self.is_running = True
        self.metrics = ServiceMetrics()
        self.health: dict[str, Any] = {"status": "green"}
        self.leader: dict[str, Any] | None = None
        self.listeners: list[asyncio.Queue[bytes]] = []

    def answer(self, status: int, *, count: int = 1, conflicts: int = 0, duration_s: float = 0.02) -> None:
        """Counts requests that were answered so."""
        for _ in range(count):
            self.metrics.request_answered(
                method="PUT",
                scheme="http",
                route="/v1.0/fruits/{fruit_id}",
                status=status,
                error_type="",
                duration_s=duration_s,
                conflict_count=conflicts,
                retry_wait_s=None,
            )

    def as_json(self) -> dict[str, Any]:
        """As the control API describes it."""
        return {
            "label": self.label,
            "sample": self.sample,
            "number": 1,
            "url": self.url,
            "database_url": self.database_url,
            "is_running": self.is_running,
            "pid": 4711,
            "started_at": "2026-11-26T12:00:00+00:00",
            "ended_at": None,
            "log": ".run/logs/some.log",
        }


class FakeRun:
    """The run, inside `with`. `requests` are those that changed something."""

    def __init__(self) -> None:
        self.url = ""
        self.services: dict[str, FakeService] = {}
        self.faults = {
            name: {
                "name": name,
                "sentence": f"One sees {name}.",
                "metric": "db_client_operation_duration_seconds_sum",
                "grade": {"default": 300, "min": 10, "max": 5000, "unit": "ms"},
                "is_on": False,
                "current_grade": None,
            }
            for name in ("database-slow", "masters-cut", "masters-slow", "unavailable")
        }
        self.load: dict[str, Any] = {
            "samples": [],
            "users": 25,
            "fruits": 5,
            "percent_put": 80,
            "is_running": False,
            "choices": [*CRUD],
        }
        self.books: dict[str, Any] = {}
        self.masters: dict[str, Any] | None = None
        self.database = {
            "url": "",
            "username": None,
            "password": None,
            "is_standin": True,
            "is_running": True,
        }
        self.requests: list[tuple[str, str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake run", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._listen())
        for label in (*CRUD, "crud/multi_master", "crud/tampering", "crud/hash_and_encrypt"):
            self.add(label)
        for number in range(1, 4):
            self.add("leader" if number == 1 else f"leader ({number})")
        return self

    def __exit__(self, *error: object) -> None:
        self.call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        """Where the page's service finds it."""
        return {"SUITE_CONTROL_URL": self.url, "SUITE_CONTROL_TOKEN": RUN_TOKEN}

    def add(self, label: str) -> FakeService:
        """Adds a service."""
        number = len(self.services)
        service = self.services[label] = FakeService(label, f"{self.url}/of/{number}")
        return service

    def by_number(self, number: int) -> FakeService:
        """The service whose URL has this number."""
        return [*self.services.values()][number]

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns, in the run's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)

    def emit(self, label: str, events: list[Event]) -> None:
        """Streams events of a service."""
        text = b"data: %s\n\n" % msgspec.json.encode(events)

        def put() -> None:
            for listener in self.services[label].listeners:
                listener.put_nowait(text)

        self._loop.call_soon_threadsafe(put)

    def wait_until_followed(self, label: str) -> None:
        """Returns once somebody listens to the events of a service."""
        self.wait_until(lambda: bool(self.services[label].listeners))

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Returns once it is true."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not is_true():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    async def _listen(self) -> None:
        app = tornado.web.Application(
            [
                (r"/of/(\d+)/_events", _EventsHandler),
                (r"/of/(\d+)/(.+)", _OfServiceHandler),
                (r"/services/(.+)/(kill|restart)", _CommandHandler),
                (r"/faults/([^/]+)", _FaultHandler),
                (r"/(\w+)", _ControlHandler),
            ],
            run=self,
            log_function=lambda _: None,
        )
        self._server = tornado.httpserver.HTTPServer(app)
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        for service in self.services.values():
            for listener in service.listeners:
                listener.put_nowait(b"")
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(tornado.web.RequestHandler):
    @property
    def run(self) -> FakeRun:
        run: FakeRun = self.settings["run"]
        return run

    def answer(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.write(msgspec.json.encode(value))


class _Controlled(_Handler):
    def prepare(self) -> None:
        if self.request.headers.get("Authorization") != f"Bearer {RUN_TOKEN}":
            self.set_status(401)
            self.finish({"error": "A request needs the token of this run."})
        elif self.request.method != "GET":
            body = msgspec.json.decode(self.request.body) if self.request.body else None
            self.run.requests.append((str(self.request.method), self.request.path, body))


class _ControlHandler(_Controlled):
    def get(self, name: str) -> None:
        if name == "masters" and self.run.masters is None:
            self.set_status(404)
            self.answer({"error": "This run has no masters."})
            return
        parts = {
            "services": [service.as_json() for service in self.run.services.values()],
            "faults": [*self.run.faults.values()],
            "load": self.run.load,
            "books": self.run.books,
            "masters": self.run.masters,
            "database": self.run.database,
        }
        self.answer(parts[name])

    def put(self, name: str) -> None:
        self.run.load |= msgspec.json.decode(self.request.body) | {"is_running": True}
        self.answer(self.run.load)

    def delete(self, name: str) -> None:
        if name == "faults":
            for fault in self.run.faults.values():
                fault |= {"is_on": False, "current_grade": None}
        else:
            self.run.load["is_running"] = False
        self.answer(None)


class _FaultHandler(_Controlled):
    def put(self, name: str) -> None:
        fault = self.run.faults.get(name)
        if fault is None:
            self.set_status(404)
            self.answer({"error": f"There is no fault {name!r}."})
            return
        grade = msgspec.json.decode(self.request.body).get("grade")
        fault |= {"is_on": True, "current_grade": grade}
        self._link()
        self.answer(fault)

    def delete(self, name: str) -> None:
        self.run.faults[name] |= {"is_on": False, "current_grade": None}
        self._link()
        self.answer(self.run.faults[name])

    def _link(self) -> None:
        if self.run.masters is not None:
            on = [link for link in ("cut", "slow") if self.run.faults[f"masters-{link}"]["is_on"]]
            self.run.masters["link"] = (*on, "up")[0]


class _CommandHandler(_Controlled):
    def post(self, label: str, command: str) -> None:
        service = self.run.services[label]
        service.is_running = command == "restart"
        self.answer(service.as_json())


class _OfServiceHandler(_Handler):
    def get(self, number: str, path: str) -> None:
        service = self.run.by_number(int(number))
        if path == "_metrics":
            self.set_header("Content-Type", "text/plain")
            self.write(generate_latest(service.metrics.registry))
        elif path == "_health":
            self.answer(service.health)
        elif path == "v1.0/leader" and service.leader is not None:
            self.answer(service.leader)
        else:
            self.set_status(404)


class _EventsHandler(_Handler):
    async def get(self, number: str) -> None:
        service = self.run.by_number(int(number))
        self.set_header("Content-Type", "text/event-stream")
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        await self.flush()
        service.listeners.append(queue)
        try:
            with contextlib.suppress(tornado.iostream.StreamClosedError):
                while text := await queue.get():
                    self.write(text)
                    await self.flush()
        finally:
            service.listeners.remove(queue)

    def on_connection_close(self) -> None:
        """Ends the stream."""
        service = self.run.by_number(int(self.path_args[0]))
        for listener in service.listeners:
            listener.put_nowait(b"")
