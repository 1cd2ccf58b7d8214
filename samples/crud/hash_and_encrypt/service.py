"""The context: HTTP requests in, interactions on fruits, HTTP answers out; those on owners are next door."""

import msgspec

from tor_async_couchdb.actions.retrieve import Page
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.protection.folder import Protector
from tor_async_couchdb.protection.signing import Signer
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.run import run
from tor_async_service.couchdb.protecting import PROTECTION
from tor_async_service.couchdb.signing import OPTIONAL_KEY_SET
from tor_async_service.http.handler import ServiceHandler

from .async_action import (
    AsyncFruitCreator,
    AsyncFruitDeleter,
    AsyncFruitRetriever,
    AsyncFruitsRetriever,
    AsyncFruitUpdater,
)
from .model import Color, Fruit
from .owner_service import OWNER_ROUTES, NewFruitBody


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to change a fruit."""

    color: Color


class FruitsHandler(ServiceHandler):
    """All fruits."""

    async def post(self) -> None:
        body, protection = self.json_body(NewFruitBody), self.settings["protection"]
        fruit = await AsyncFruitCreator(body.color, body.owner, protection, database=self.database).create()
        self.set_status(201)
        self.set_header("Location", f"/v1.0/fruits/{fruit.fruit_id}")
        self.write_json(fruit.representation())

    async def get(self) -> None:
        await self.write_pages(self._fetch_page, Fruit.representation)

    async def _fetch_page(self, first_fruit_id: str | None, size: int) -> Page[Fruit]:
        return await AsyncFruitsRetriever(first_fruit_id, database=self.database).fetch_page(size)


class FruitHandler(ServiceHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        fruit = await AsyncFruitRetriever(fruit_id, database=self.database).fetch()
        self.write_json(self.found(fruit).representation())

    async def put(self, fruit_id: str) -> None:
        body = self.json_body(FruitBody)
        fruit = await AsyncFruitUpdater(fruit_id, body.color, database=self.database).update()
        self.write_json(self.found(fruit).representation())

    async def delete(self, fruit_id: str) -> None:
        self.found(await AsyncFruitDeleter(fruit_id, database=self.database).delete())


def make_app(database: Database, protection: Protector, keyset: Signer | None = None) -> ServiceApplication:
    """The service on a database, ready to listen; with a key set it also signs its documents."""
    database.encryption, database.tampering_signer = protection.encryption, keyset
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    app = ServiceApplication([*routes, *OWNER_ROUTES], database, version="1.0.0")
    app.settings["protection"] = protection
    return app


if __name__ == "__main__":
    run(make_app, "Fruits whose owners' data are hashed and encrypted.", PROTECTION, OPTIONAL_KEY_SET)
