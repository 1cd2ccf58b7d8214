"""The context: the page, its stream of events, and the changes that it asks the run for."""

import logging
import os
import secrets
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import msgspec
import tornado.web
from tornado.httputil import HTTPServerRequest

from tor_async_couchdb import Database
from tor_async_couchdb.wire.login import check_token
from tor_async_service import Option, Parts, Problem, ServiceApplication, ServiceHandler, UnhealthyError, run
from tor_async_service.http.events import EventStreamHandler
from tor_async_service.listeners import Listener, TooManyListenersError
from watch import files
from watch.access import check_access
from watch.attacks import ATTACKS, AsyncAttacker
from watch.control import Control, ControlError
from watch.people import AsyncPeople
from watch.plain_couchdb import MissingError, PlainDatabase, PlainDatabaseError
from watch.service_client import ServiceUnreachableError
from watch.watching.services import Service
from watch.watching.watch import DEFAULT_INTERVAL_S, Watch
from watch.watching.world import World

_TAMPERING, _ENCRYPTING = "crud/tampering", "crud/hash_and_encrypt"
_RECENT_DOCUMENTS = 40
_TOKEN_VARIABLE = "SUITE_CONTROL_TOKEN"  # noqa: S105 - the name of the variable, not the token


@dataclass(frozen=True)
class Watched:
    """What the handlers share. `token` is the page's own; the run's is known to `control` alone."""

    world: World
    control: Control
    session: aiohttp.ClientSession
    token: str
    watch: Watch

    def service(self, **properties: str) -> Service:
        """The first service with such properties, as the run describes it; 404 if there is none."""
        for service in self.world.get("services") or []:
            if properties.items() <= service.items():
                return dict(service)
        raise tornado.web.HTTPError(404, f"No such service runs: {', '.join(properties.values())}.")

    def database_of(self, service: Service) -> PlainDatabase:
        """The database of a service, with the administrator's credentials."""
        server = self.world.get("_database") or {}
        url = service["database_url"].partition(",")[0]
        credentials = {name: server.get(name) for name in ("username", "password")}
        return PlainDatabase(url, self.session, **credentials)


class WatchHandler(ServiceHandler):
    """A handler that asks the run."""

    @property
    def watched(self) -> Watched:
        """What is watched."""
        watched: Watched = self.settings["watched"]
        return watched

    async def ask_run(self, method: str, *path: str, body: object = None) -> None:
        """Answers with what the control API answers."""
        try:
            answer = await self.watched.control.ask(self.watched.session, method, *path, body=body)
        except ControlError as error:
            # The text is the run's own, so no table can have it.
            raise tornado.web.HTTPError(error.status, str(error)) from error
        if method != "GET":
            await self.watched.watch.refresh()
        self.write_json(answer)

    def set_default_headers(self) -> None:
        """Called by Tornado for each answer."""
        super().set_default_headers()
        for name, value in files.SECURITY_HEADERS.items():
            self.set_header(name, value)


class RefusedHandler(WatchHandler):
    """Answers a request that may not be answered otherwise."""

    def initialize(self, error: Exception) -> None:  # type: ignore[override]  # Tornado passes its argument
        """Called by Tornado for each request."""
        super().initialize()
        self._error = error

    def get(self, *path: str) -> None:
        """The error; not earlier, as an answer before the end of the body would break that off."""
        raise self._error

    head = post = put = patch = delete = options = get  # type: ignore[assignment]  # none of them awaits


class PageHandler(WatchHandler):
    """The page."""

    def get(self) -> None:
        """200."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(files.page(self.watched.token))


class StaticHandler(WatchHandler):
    """What the page loads."""

    def get(self, name: str) -> None:
        """200, or 404 for a file that is none of the page's."""
        path = self.found(files.static_files().get(name))
        self.set_header("Content-Type", files.content_type(path))
        self.write(path.read_bytes())


class StreamHandler(EventStreamHandler, WatchHandler):
    """What happens: first the history of the last minutes, then each moment."""

    async def get(self) -> None:
        """A stream of server-sent events; 503 if too many pages are open."""
        try:
            with self.watched.world.watched() as browser:
                await self.write_events(_messages(browser))
        except TooManyListenersError:
            raise tornado.web.HTTPError(503, "Too many pages are open.") from None


async def _messages(browser: Listener[bytes]) -> AsyncGenerator[bytes, None]:
    while True:
        yield b"".join(await browser.take())


class ServicesHandler(WatchHandler):
    """All services."""

    async def get(self) -> None:
        """200."""
        await self.ask_run("GET", "services")


class ServiceCommandHandler(WatchHandler):
    """What can be done to one service."""

    async def post(self, label: str, command: str) -> None:
        """Kills it, or starts it again."""
        await self.ask_run("POST", "services", label, command)


class GradeBody(msgspec.Struct, forbid_unknown_fields=True):
    """How strong a fault is; by default as the run finds best."""

    grade: float | None = None


class FaultsHandler(WatchHandler):
    """All faults."""

    async def get(self) -> None:
        """Each with its sentence, its metric and its grade."""
        await self.ask_run("GET", "faults")

    async def delete(self) -> None:
        """Ends all of them."""
        await self.ask_run("DELETE", "faults")


class FaultHandler(WatchHandler):
    """One fault."""

    async def put(self, name: str) -> None:
        """Begins it, or changes its grade."""
        grade = self.json_body(GradeBody).grade
        await self.ask_run("PUT", "faults", name, body={} if grade is None else {"grade": grade})

    async def delete(self, name: str) -> None:
        """Ends it."""
        await self.ask_run("DELETE", "faults", name)


class LoadBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which samples get load, and how much."""

    samples: Annotated[list[str], msgspec.Meta(min_length=1)]
    users: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    fruits: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    percent_put: Annotated[int, msgspec.Meta(ge=0, le=100)]


class LoadHandler(WatchHandler):
    """The load on the samples."""

    async def get(self) -> None:
        """What it is now."""
        await self.ask_run("GET", "load")

    async def put(self) -> None:
        """Starts it, or changes it."""
        await self.ask_run("PUT", "load", body=msgspec.to_builtins(self.json_body(LoadBody)))

    async def delete(self) -> None:
        """Ends it."""
        await self.ask_run("DELETE", "load")


class DocumentsHandler(WatchHandler):
    """The documents of a service that were changed last."""

    async def get(self, label: str) -> None:
        """Each with its revision and its conflicts."""
        watched = self.watched
        database = watched.database_of(watched.service(label=label))
        self.write_json(await database.recent(_RECENT_DOCUMENTS))


class DocumentHandler(WatchHandler):
    """One document of a service."""

    async def get(self, label: str, document_id: str) -> None:
        """Its leaf revisions."""
        watched = self.watched
        database = watched.database_of(watched.service(label=label))
        self.write_json(await database.leaves(document_id))


class AttacksHandler(WatchHandler):
    """The attacks that can be played."""

    def get(self) -> None:
        """Each with its sentence."""
        self.write_json([msgspec.to_builtins(attack) for attack in ATTACKS.values()])


class AttackHandler(WatchHandler):
    """One attack on a document of the sample that notices tampering."""

    async def post(self, name: str) -> None:
        """What was stored before and after, and what the service answers."""
        attack, watched = self.found(ATTACKS.get(name)), self.watched
        service = watched.service(sample=_TAMPERING)
        attacker = AsyncAttacker(service["url"], watched.database_of(service), watched.session)
        self.write_json(await attacker.play(attack))


class PeopleHandler(WatchHandler):
    """The owners of fruits in the sample that encrypts."""

    def people(self) -> AsyncPeople:
        """The interactions with them."""
        service = self.watched.service(sample=_ENCRYPTING)
        return AsyncPeople(service["url"], self.watched.database_of(service), self.watched.session)

    async def post(self) -> None:
        """A new one."""
        self.write_json(await self.people().add())


class PersonHandler(PeopleHandler):
    """The owner of one fruit."""

    async def get(self, fruit_id: str) -> None:
        """What the database has, beside what the service answers."""
        self.write_json(await self.people().look(fruit_id))

    async def delete(self, fruit_id: str) -> None:
        """Forgets the owner; then the same."""
        self.write_json(await self.people().forget(fruit_id))


_ROUTES = [
    (r"/", PageHandler),
    (r"/static/([\w.-]+)", StaticHandler),
    (r"/stream", StreamHandler),
    (r"/services", ServicesHandler),
    (r"/services/([^/]+)/(kill|restart)", ServiceCommandHandler),
    (r"/faults", FaultsHandler),
    (r"/faults/([^/]+)", FaultHandler),
    (r"/load", LoadHandler),
    (r"/documents/([^/]+)", DocumentsHandler),
    (r"/documents/([^/]+)/([^/]+)", DocumentHandler),
    (r"/attacks", AttacksHandler),
    (r"/attacks/(\w+)", AttackHandler),
    (r"/people", PeopleHandler),
    (r"/people/([0-9a-f]{32})", PersonHandler),
]
_PROBLEMS: dict[type[Exception], Problem] = {
    MissingError: Problem(404, "There is no such document."),
    PlainDatabaseError: Problem(502, "The database can't be reached, or refuses this."),
    ServiceUnreachableError: Problem(502, "The service does not answer, or refuses this."),
}


class WatchApplication(ServiceApplication):
    """The service; it answers only those that may ask."""

    def __init__(self, watched: Watched, database: Database, *, parts: Parts | None) -> None:
        self._token = watched.token

        async def check_control() -> None:
            try:
                await watched.control.ask(watched.session, "GET", "services")
            except ControlError as error:
                raise UnhealthyError(str(error)) from error

        super().__init__(
            _ROUTES,
            database,
            version="1.0.0",
            health_checks={"run": check_control},
            problems=_PROBLEMS,
            background_work=[watched.watch.run],
            settings={"watched": watched},
            parts=parts,
        )

    def find_handler(self, request: HTTPServerRequest, **arguments: Any) -> Any:
        """Called by Tornado for each request, whatever its path."""
        try:
            check_access(request, self._token)
        except tornado.web.HTTPError as error:
            return self.get_handler_delegate(request, RefusedHandler, {"error": error})
        return super().find_handler(request, **arguments)


def make_app(
    database: Database, control: str, interval: float | None = None, parts: Parts | None = None
) -> WatchApplication:
    """The service, which asks the control API at the URL `control`, every `interval` seconds."""
    run_token = os.environ.get(_TOKEN_VARIABLE)
    if not run_token:
        sys.exit(f"the environment variable {_TOKEN_VARIABLE} is missing; ./run_all_samples.sh sets it")
    try:
        check_token(run_token)
    except ValueError as error:
        sys.exit(f"the environment variable {_TOKEN_VARIABLE}: {error}")
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    world, run_control = World(), Control(control, run_token)
    watch = Watch(world, run_control, session, interval_s=interval or DEFAULT_INTERVAL_S)
    watched = Watched(world, run_control, session, secrets.token_urlsafe(32), watch)
    return WatchApplication(watched, database, parts=parts)


def _seconds(text: str) -> float:
    if not 0.05 <= (seconds := float(text)) <= 60:
        raise ValueError(f"{text} is not from 0.05 to 60")
    return seconds


if __name__ == "__main__":
    # It asks the databases several times a second; the log is for what goes wrong.
    logging.getLogger("tor_async_couchdb").setLevel(logging.WARNING)
    run(
        make_app,
        "The live page of a run.",
        Option("control", "URL", "the control API of the run", variable="SUITE_CONTROL_URL"),
        Option("interval", "SECONDS", "how often to look at the run", read=_seconds, is_optional=True),
    )
