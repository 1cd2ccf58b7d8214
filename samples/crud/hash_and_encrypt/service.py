"""The context: HTTP requests in, interactions on fruits, HTTP answers out.

The handlers for owners are in owner_service.py.
"""

import msgspec

from tor_async_couchdb import Database
from tor_async_couchdb.protection.folder import Protector
from tor_async_service import Parts, ServiceApplication, ServiceHandler, run
from tor_async_service.couchdb.protecting import PROTECTING, PROTECTION

from . import async_action as actions
from .model import Color
from .owner_service import OWNER_ROUTES, NewFruitBody


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to change a fruit."""

    color: Color


class FruitsHandler(ServiceHandler):
    """All fruits."""

    async def post(self) -> None:
        body, protection = self.json_body(NewFruitBody), self.settings["protection"]
        fruit = await actions.AsyncFruitCreator(body.color, body.owner, protection, self.database).create()
        self.write_model(fruit, created_at=f"/v1.0/fruits/{fruit.fruit_id}")

    async def get(self) -> None:
        await self.write_models(actions.AsyncFruitsRetriever(self.database))


class FruitHandler(ServiceHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        self.write_model(await actions.AsyncFruitRetriever(fruit_id, self.database).fetch())

    async def put(self, fruit_id: str) -> None:
        color = self.json_body(FruitBody).color
        self.write_model(await actions.AsyncFruitUpdater(fruit_id, color, self.database).update())

    async def delete(self, fruit_id: str) -> None:
        self.found(await actions.AsyncFruitDeleter(fruit_id, self.database).delete())


def make_app(database: Database, protection: Protector, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database whose guard encrypts by the same `protection`, ready to listen."""
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    settings = {"protection": protection}
    return ServiceApplication(
        [*routes, *OWNER_ROUTES], database, version="1.0.0", settings=settings, parts=parts
    )


if __name__ == "__main__":
    run(make_app, "Fruits whose owners' data are hashed and encrypted.", PROTECTION, guard=PROTECTING)
