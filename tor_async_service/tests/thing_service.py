"""A small service for the chassis' tests; `python -m tor_async_service.tests.thing_service` runs it."""

from typing import Annotated
from urllib.parse import quote

import msgspec

from tor_async_couchdb import AsyncPersister, Database
from tor_async_couchdb.tests.things import Thing, ThingRetriever, ThingsRetriever
from tor_async_service import Parts, ServiceApplication, ServiceHandler, run

_VIEW = "thing_by_key"


class ThingBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends."""

    key: Annotated[str, msgspec.Meta(min_length=1)]
    count: Annotated[int, msgspec.Meta(ge=0)] = 0


class ThingsHandler(ServiceHandler):
    """All things."""

    async def post(self) -> None:
        """Creates a thing."""
        body = self.json_body(ThingBody)
        thing = await AsyncPersister(Thing(key=body.key, count=body.count), database=self.database).persist()
        self.write_model(thing, created_at=f"/things/{quote(body.key, safe='')}")

    async def get(self) -> None:
        """Lists all things."""
        await self.write_models(ThingsRetriever(_VIEW, database=self.database))


class ThingHandler(ServiceHandler):
    """One thing."""

    async def get(self, key: str) -> None:
        """Shows it."""
        self.write_model(await ThingRetriever(_VIEW, key, database=self.database).fetch())

    async def put(self, key: str) -> None:
        """Changes its count, in one attempt."""
        body = self.json_body(ThingBody)
        thing = self.found(await ThingRetriever(_VIEW, key, database=self.database).fetch())
        changed = AsyncPersister(thing.replace(count=body.count), database=self.database)
        self.write_model(await changed.persist())


def make_app(database: Database, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database."""
    routes = [("/things", ThingsHandler), ("/things/([^/]+)", ThingHandler)]
    return ServiceApplication(routes, database, version="1.2.3", parts=parts)


if __name__ == "__main__":
    run(make_app, "Things, for tests.")
