"""The control API: services, database, masters, faults and load of a run, as JSON.

It is for one client, the service of the watch page, which gets the token from its environment. A page that a
browser has open elsewhere can send requests to loopback too; it has no token, and no Host that is loopback
if it got here by a name of its own.
"""

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import tornado.httpserver
import tornado.netutil
import tornado.web

from suite.background import EventLoopThread
from suite.control.load import LoadControl, LoadError
from suite.errors import SuiteError
from suite.faults.stage import Stage
from suite.faults.switchboard import GradeError, Switchboard, UnknownFaultError
from suite.supervision import Supervised, UnknownServiceError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TIMEOUT_S = 10.0
_MAX_BODY_BYTES = 64 * 1024
_STATUSES: dict[type[SuiteError], int] = {
    UnknownFaultError: 404,
    UnknownServiceError: 404,
    GradeError: 400,
    LoadError: 400,
}


@dataclass(frozen=True)
class Controls:
    """What the API shows and changes."""

    stage: Stage
    switchboard: Switchboard
    load: LoadControl


@dataclass(frozen=True)
class ControlServer:
    """A control API that listens at `url` and answers those that have the token."""

    url: str
    token: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the watch page's service finds it."""
        return {"SUITE_CONTROL_URL": self.url, "SUITE_CONTROL_TOKEN": self.token}


@contextlib.contextmanager
def control_server(controls: Controls, loop: EventLoopThread) -> Iterator[ControlServer]:
    """Serves the API on a free port of 127.0.0.1 until the block ends."""
    token = secrets.token_urlsafe()
    server, port = loop.run(_listen(make_app(controls, token)), _TIMEOUT_S)
    try:
        yield ControlServer(f"http://127.0.0.1:{port}", token)
    finally:
        loop.run(_close(server), _TIMEOUT_S)


async def _listen(app: tornado.web.Application) -> tuple[tornado.httpserver.HTTPServer, int]:
    server = tornado.httpserver.HTTPServer(app, max_body_size=_MAX_BODY_BYTES)
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    return server, sockets[0].getsockname()[1]


async def _close(server: tornado.httpserver.HTTPServer) -> None:
    server.stop()
    await server.close_all_connections()


def make_app(controls: Controls, token: str) -> tornado.web.Application:
    """The API."""
    return tornado.web.Application(
        [
            (r"/services", _ServicesHandler),
            (r"/services/(.+)/(kill|restart)", _ServiceHandler),
            (r"/database", _DatabaseHandler),
            (r"/masters", _MastersHandler),
            (r"/faults", _FaultsHandler),
            (r"/faults/([^/]+)", _FaultHandler),
            (r"/load", _LoadHandler),
            (r"/books", _BooksHandler),
        ],
        default_handler_class=_UnknownPathHandler,
        controls=controls,
        token=token,
        log_function=lambda _: None,
    )


class _Handler(tornado.web.RequestHandler):
    """Checks who asks; answers JSON, and errors as {"error": "a sentence"}."""

    @property
    def controls(self) -> Controls:
        controls: Controls = self.settings["controls"]
        return controls

    def prepare(self) -> None:
        """Refuses a request that does not come from the watch page's service."""
        if urlsplit(f"//{self.request.host}").hostname not in _LOOPBACK:
            self._refuse(403, "The Host of a request has to be loopback.")
        elif not self._has_token():
            self.set_header("WWW-Authenticate", "Bearer")
            self._refuse(401, "A request needs the token of this run: Authorization: Bearer TOKEN.")
        elif self.request.method not in ("GET", "HEAD", "DELETE") and not self._is_json():
            self._refuse(415, "A change has to be application/json.")

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent; HTTPError 400 if it is none."""
        try:
            return msgspec.json.decode(self.request.body or b"{}", type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            sentence = "The body has to be a JSON object, with numbers that fit into a double."
            raise tornado.web.HTTPError(400, reason=sentence) from error

    async def head(self, *path_arguments: str) -> None:
        """Answers as GET does, without the body."""
        answering = self.get(*path_arguments)
        if answering is not None:
            await answering

    def write_json(self, value: Any) -> None:
        """Answers."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(value))

    async def in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` returns; it may block."""
        return await asyncio.to_thread(work, *arguments)

    def write_error(self, status_code: int, **details: Any) -> None:
        """Answers with the sentence of the error."""
        error = details.get("exc_info", (None, None, None))[1]
        if isinstance(error, SuiteError):
            self.set_status(_STATUSES.get(type(error), 409))
            self.write_json({"error": str(error)})
        else:
            self.write_json({"error": self._reason})

    def log_exception(self, *error: Any) -> None:
        """Logs what is nobody's sentence."""
        if not isinstance(error[1], SuiteError):
            super().log_exception(*error)

    def _has_token(self) -> bool:
        expected = f"Bearer {self.settings['token']}"
        given = self.request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), expected.encode())

    def _is_json(self) -> bool:
        media_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return media_type == "application/json"

    def _refuse(self, status: int, sentence: str) -> None:
        self.set_status(status)
        self.write_json({"error": sentence})


class _UnknownPathHandler(_Handler):
    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            self._refuse(404, "There is no such path.")


class _ServicesHandler(_Handler):
    def get(self) -> None:
        services = self.controls.stage.supervisor.services.values()
        self.write_json([_service_as_json(service) for service in services])


class _ServiceHandler(_Handler):
    async def post(self, label: str, what: str) -> None:
        self.body()
        supervisor = self.controls.stage.supervisor
        await self.in_thread(supervisor.kill if what == "kill" else supervisor.restart, label)
        self.write_json(_service_as_json(supervisor.named(label)))


class _DatabaseHandler(_Handler):
    def get(self) -> None:
        couchdb = self.controls.stage.couchdb
        self.write_json(
            {
                "url": couchdb.url,
                "username": couchdb.username,
                "password": couchdb.password,
                "is_standin": couchdb.stand_in is not None,
                "is_running": self.controls.stage.keeper.is_running,
            }
        )


class _MastersHandler(_Handler):
    def get(self) -> None:
        masters = self.controls.stage.masters
        if masters is None:
            raise tornado.web.HTTPError(404, reason="This run has no masters.")
        self.write_json({"sample": masters.sample, "databases": masters.urls, "link": masters.state})


class _FaultsHandler(_Handler):
    def get(self) -> None:
        self.write_json(self.controls.switchboard.states())

    async def delete(self) -> None:
        await self.in_thread(self.controls.switchboard.off_all)
        self.write_json(self.controls.switchboard.states())


class _FaultHandler(_Handler):
    def get(self, name: str) -> None:
        self.write_json(self.controls.switchboard.state(name))

    async def put(self, name: str) -> None:
        grade = self.body().get("grade")
        if grade is not None and (isinstance(grade, bool) or not isinstance(grade, (int, float))):
            raise GradeError("grade: a number, or null for the default.")
        await self.in_thread(self.controls.switchboard.on, name, grade)
        self.write_json(self.controls.switchboard.state(name))

    async def delete(self, name: str) -> None:
        await self.in_thread(self.controls.switchboard.off, name)
        self.write_json(self.controls.switchboard.state(name))


class _LoadHandler(_Handler):
    async def get(self) -> None:
        self.write_json(await self.in_thread(self.controls.load.state))

    async def put(self) -> None:
        await self.in_thread(self.controls.load.start, self.body())
        self.write_json(await self.in_thread(self.controls.load.state))

    async def delete(self) -> None:
        await self.in_thread(self.controls.load.stop)
        self.write_json(await self.in_thread(self.controls.load.state))


class _BooksHandler(_Handler):
    async def get(self) -> None:
        self.write_json(await self.in_thread(self.controls.load.books))


def _service_as_json(service: Supervised) -> dict[str, Any]:
    return {
        "label": service.label,
        "sample": service.sample.name,
        "number": service.command.number,
        "url": service.url,
        "database_url": service.command.database_url,
        "is_running": service.is_running,
        "pid": service.process.pid,
        "started_at": service.started_at.isoformat(),
        "ended_at": None if service.ended_at is None else service.ended_at.isoformat(),
        "log": str(service.process.log),
    }
