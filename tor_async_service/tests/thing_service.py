"""A small service for the chassis' tests; `python -m tor_async_service.tests.thing_service` runs it."""

from typing import Annotated, Any

import msgspec

from tor_async_couchdb.actions.retrieve import AsyncPersister, Page
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.tests.things import Thing, ThingRetriever, ThingsRetriever
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.run import run
from tor_async_service.http.handler import ServiceHandler

_VIEW = "thing_by_key"


class ThingBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends."""

    key: Annotated[str, msgspec.Meta(min_length=1)]
    count: Annotated[int, msgspec.Meta(ge=0)] = 0


class ThingsHandler(ServiceHandler):
    """All things."""

    async def post(self) -> None:
        """Makes a thing."""
        body = self.json_body(ThingBody)
        thing = await AsyncPersister(Thing(key=body.key, count=body.count), database=self.database).persist()
        self.set_status(201)
        self.write_json(_representation(thing))

    async def get(self) -> None:
        """Lists all things."""
        await self.write_pages(self._fetch_page, _representation)

    async def _fetch_page(self, first_key: str | None, size: int) -> Page[Thing]:
        return await ThingsRetriever(_VIEW, first_key, database=self.database).fetch_page(size)


class ThingHandler(ServiceHandler):
    """One thing."""

    async def get(self, key: str) -> None:
        """Shows it."""
        self.write_json(_representation(await self._thing(key)))

    async def put(self, key: str) -> None:
        """Changes its count; whoever loses the race for it is told so."""
        body = self.json_body(ThingBody)
        changed = msgspec.structs.replace(await self._thing(key), count=body.count)
        self.write_json(_representation(await AsyncPersister(changed, database=self.database).persist()))

    async def _thing(self, key: str) -> Thing:
        return self.found(await ThingRetriever(_VIEW, key, database=self.database).fetch())


def _representation(thing: Thing) -> dict[str, Any]:
    return {"key": thing.key, "count": thing.count}


def make_app(database: Database) -> ServiceApplication:
    """The service on a database."""
    routes = [("/things", ThingsHandler), ("/things/([^/]+)", ThingHandler)]
    return ServiceApplication(routes, database, version="1.2.3")


if __name__ == "__main__":
    run(make_app, "Things, for tests.")
