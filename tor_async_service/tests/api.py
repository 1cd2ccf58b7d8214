"""Uses all that `tor_async_service` offers as a service does. mypy checks it; it never runs."""

from collections.abc import AsyncGenerator, Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.registry import Collector

from tor_async_couchdb import AsyncModelsRetriever, Database, Model
from tor_async_couchdb.guard import Guard
from tor_async_service import (
    ConditionalHandler,
    EventStreamHandler,
    GuardOptions,
    HealthCheck,
    IdempotentHandler,
    KeysInUse,
    Option,
    OwnMetrics,
    Parameter,
    Parts,
    Problem,
    Route,
    ServiceApplication,
    ServiceHandler,
    ServiceMetrics,
    UnhealthyError,
    answers,
    refuses,
    run,
    takes,
)


class Fruit(Model, tag="fruit_v1.0"):
    """A model."""

    color: str


class FruitsRetriever(AsyncModelsRetriever[Fruit]):
    """Finds all fruits."""


class FruitBody(msgspec.Struct):
    """What a client sends."""

    color: str


class FruitsHandler(ServiceHandler):
    """All fruits."""

    async def post(self) -> None:
        """A body has the type that it was asked for; a model is answered by its representation."""
        body: FruitBody = self.json_body(FruitBody)
        self.write_model(Fruit(color=body.color), created_at="/v1.0/fruits/1")

    async def get(self) -> None:
        """Models are answered as a stream or as pages."""
        await self.write_models(FruitsRetriever("fruit_by_color", database=self.database))

    @takes("Client-Id", Parameter(str, "Who asks.", place="header", is_required=True))
    @refuses(429)
    @answers(200, dict[str, str])
    async def put(self) -> None:
        """A missing value is answered with 404; any value can be answered as JSON."""
        fruit: Fruit = self.found(Fruit(color="red"))
        links = {"self": self.outer_url(), "fruits": self.outer_path("/v1.0/fruits")}
        self.write_json({"color": fruit.color, "version": self.service.version, "links": links})

    async def patch(self) -> None:
        """A stream ends when the service begins to drain; a request has an id."""
        await self.service.drain.started.wait()
        self.write_json({"request_id": self.request_id})

    async def delete(self) -> None:
        """An error of the service's own, which `problems` maps to an answer."""
        raise RottenError


class FruitHandler(ConditionalHandler):
    """One fruit, whose answers have an ETag."""

    representation_version = "2"

    async def put(self) -> None:
        """A client may create it, or change what it has seen."""
        fruit = Fruit(color="red")
        is_to_be_changed: bool = not self.wants_to_create() and self.if_match()(fruit)
        self.write_model(fruit if is_to_be_changed else None)


class FruitMakerHandler(IdempotentHandler):
    """Makes a fruit, once for each key."""

    def client(self) -> str:
        """Who is logged in."""
        return "me"

    async def post(self) -> None:
        """The key and the body name the change."""
        body = self.json_body(FruitBody)
        with self.idempotency_key(body) as use:
            self.write_model(Fruit(color=body.color, id=use.key))


class FruitEventsHandler(EventStreamHandler):
    """What happens to fruits."""

    async def get(self) -> None:
        """Server-sent events, from where the client was."""
        await self.write_events(self._events(self.last_event_id))

    async def _events(self, since: str | None) -> AsyncGenerator[bytes, None]:
        yield f"id: {since}\n\n".encode()


class RottenError(Exception):
    """An error of the service's own."""


class FruitMetrics:
    """Metrics of the service's own."""

    def __init__(self) -> None:
        self._painted = Counter("painted", "Fruits that were painted.", registry=CollectorRegistry())

    @property
    def collectors(self) -> Sequence[Collector]:
        """What a scraper reads."""
        return [self._painted]

    async def refresh(self) -> None:
        """Called before a scraper is answered."""


async def check_oven() -> None:
    """A health check of the service's own."""
    raise UnhealthyError("too cold")


async def ripen() -> None:
    """Background work."""


ROUTES: list[Route] = [
    (r"/v1\.0/fruits", FruitsHandler),
    (r"/v1\.0/fruits/red", FruitHandler),
    (r"/v1\.0/made", FruitMakerHandler),
    (r"/v1\.0/events", FruitEventsHandler),
]
CHECKS: dict[str, HealthCheck] = {"oven": check_oven}
OWN_METRICS: list[OwnMetrics] = [FruitMetrics()]
PROBLEMS: dict[type[Exception], Problem] = {RottenError: Problem(410, "The fruit is rotten.")}


def make_app(database: Database, *, master: str, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database."""
    return ServiceApplication(
        ROUTES,
        database,
        version="1.0.0",
        health_checks=CHECKS,
        own_metrics=OWN_METRICS,
        problems=PROBLEMS,
        background_work=[ripen],
        settings={"master": master, "keys_in_use": KeysInUse()},
        parts=parts,
    )


def application_of_a_test() -> ServiceApplication:
    """A test gives the database and the application the same metrics, as `run` does."""
    metrics = ServiceMetrics()
    database = Database("http://127.0.0.1:5984/fruits", observer=metrics)
    return make_app(database, master="1", parts=Parts(deadline_s=5, metrics=metrics))


def main() -> None:
    """The mainline: options of the service's own, and of its guard."""
    key = Option("keyset", "FILE", "key set", variable="KEYSET", is_optional=True)
    master = Option("master", "NAME", "name of this master", read=str.lower)
    run(make_app, "Fruits.", master, guard=GuardOptions(options=(key,), make=lambda keyset: Guard()))
