"""The context: HTTP requests in, interactions on fruits, HTTP answers out."""

from typing import Any

import msgspec

from tor_async_couchdb.actions.retrieve import Page
from tor_async_couchdb.documents.database import Database
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.run import run
from tor_async_service.http.handler import ServiceHandler

from .async_action import (
    AsyncFruitCreator,
    AsyncFruitDeleter,
    AsyncFruitRetriever,
    AsyncFruitsRetriever,
    AsyncFruitUpdater,
)
from .model import Color, Fruit


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create or change a fruit."""

    color: Color


class FruitsHandler(ServiceHandler):
    """All fruits."""

    async def post(self) -> None:
        body = self.json_body(FruitBody)
        fruit = await AsyncFruitCreator(body.color, database=self.database).create()
        self.set_status(201)
        self.set_header("Location", f"/v1.0/fruits/{fruit.fruit_id}")
        self.write_json(_representation(fruit))

    async def get(self) -> None:
        await self.write_pages(self._fetch_page, _representation)

    async def _fetch_page(self, first_fruit_id: str | None, size: int) -> Page[Fruit]:
        return await AsyncFruitsRetriever(first_fruit_id, database=self.database).fetch_page(size)


class FruitHandler(ServiceHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        fruit = await AsyncFruitRetriever(fruit_id, database=self.database).fetch()
        self.write_json(_representation(self.found(fruit)))

    async def put(self, fruit_id: str) -> None:
        body = self.json_body(FruitBody)
        fruit = await AsyncFruitUpdater(fruit_id, body.color, database=self.database).update()
        self.write_json(_representation(self.found(fruit)))

    async def delete(self, fruit_id: str) -> None:
        self.found(await AsyncFruitDeleter(fruit_id, database=self.database).delete())


def _representation(fruit: Fruit) -> dict[str, Any]:
    return {
        "fruit_id": fruit.fruit_id,
        "color": fruit.color,
        "created_on": fruit.created_on,
        "updated_on": fruit.updated_on,
        "change_count": fruit.change_count,
    }


def make_app(database: Database) -> ServiceApplication:
    """The service on a database, ready to listen."""
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    return ServiceApplication(routes, database, version="1.0.0")


if __name__ == "__main__":
    run(make_app, "Fruits: create, read, update and delete them.")
