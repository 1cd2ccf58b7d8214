"""The context: HTTP requests in, interactions on fruits, HTTP answers out."""

import msgspec

from tor_async_couchdb import Database
from tor_async_service import IdempotentHandler, KeysInUse, Parts, ServiceApplication, run

from . import async_action as actions
from .model import Color


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create or change a fruit."""

    color: Color


class FruitsHandler(IdempotentHandler):
    """All fruits."""

    async def post(self) -> None:
        body = self.json_body(FruitBody)
        with self.idempotency_key(body) as use:
            fruit = await actions.AsyncFruitCreator(body.color, use, self.database).create()
        self.write_model(fruit, created_at=f"/v1.0/fruits/{fruit.fruit_id}")

    async def get(self) -> None:
        await self.write_models(actions.AsyncFruitsRetriever(self.database))


class FruitHandler(IdempotentHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        self.write_model(await actions.AsyncFruitRetriever(fruit_id, database=self.database).fetch())

    async def put(self, fruit_id: str) -> None:
        body = self.json_body(FruitBody)
        with self.idempotency_key(body) as use:
            updater = actions.AsyncFruitUpdater(fruit_id, body.color, use, self.database)
            self.write_model(await updater.update())

    async def delete(self, fruit_id: str) -> None:
        with self.idempotency_key() as use:
            self.found(await actions.AsyncFruitDeleter(fruit_id, use, self.database).delete())


def make_app(database: Database, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database, ready to listen."""
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    settings = {"keys_in_use": KeysInUse()}
    return ServiceApplication(routes, database, version="1.0.0", settings=settings, parts=parts)


if __name__ == "__main__":
    run(make_app, "Fruits that a client may change again and again, once.")
