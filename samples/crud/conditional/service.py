"""The context: HTTP requests in, interactions on fruits, HTTP answers out."""

import msgspec

from tor_async_couchdb import Database
from tor_async_service import ConditionalHandler, Parts, ServiceApplication, run

from . import async_action as actions
from .model import Color


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create or change a fruit."""

    color: Color


class FruitsHandler(ConditionalHandler):
    """All fruits."""

    async def post(self) -> None:
        fruit = await actions.AsyncFruitCreator(self.json_body(FruitBody).color, self.database).create()
        self.write_model(fruit, created_at=f"/v1.0/fruits/{fruit.fruit_id}")

    async def get(self) -> None:
        await self.write_models(actions.AsyncFruitsRetriever(self.database))


class FruitHandler(ConditionalHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        self.write_model(await actions.AsyncFruitRetriever(fruit_id, self.database).fetch())

    async def put(self, fruit_id: str) -> None:
        color = self.json_body(FruitBody).color
        if self.wants_to_create():
            fruit = await actions.AsyncFruitCreator(color, self.database, fruit_id).create()
            self.write_model(fruit, created_at=self.request.path)
        else:
            updater = actions.AsyncFruitUpdater(fruit_id, color, self.if_match(), self.database)
            self.write_model(await updater.update())

    async def delete(self, fruit_id: str) -> None:
        self.found(await actions.AsyncFruitDeleter(fruit_id, self.if_match(), self.database).delete())


def make_app(database: Database, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database, ready to listen."""
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    return ServiceApplication(routes, database, version="1.0.0", parts=parts)


if __name__ == "__main__":
    run(make_app, "Fruits that a client changes only as it has seen them.")
