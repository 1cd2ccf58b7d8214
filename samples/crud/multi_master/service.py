"""The context: HTTP requests in, interactions on fruits, HTTP answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tor_async_couchdb import ChangeNamer, Database
from tor_async_service import Parts, ServiceApplication, ServiceHandler, run
from tor_async_service.couchdb.reconciling import MASTERS, RECONCILING, Reconciling

from . import async_action as actions
from .model import Color, Fruit

if TYPE_CHECKING:
    from tor_async_etcd import Client


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create or change a fruit."""

    color: Color


class FruitsHandler(ServiceHandler):
    """All fruits."""

    async def post(self) -> None:
        fruit = await actions.AsyncFruitCreator(self.json_body(FruitBody).color, self.database).create()
        self.write_model(fruit, created_at=f"/v1.0/fruits/{fruit.fruit_id}")

    async def get(self) -> None:
        await self.write_models(actions.AsyncFruitsRetriever(self.database))


class FruitHandler(ServiceHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        self.write_model(await actions.AsyncFruitRetriever(fruit_id, self.database).fetch())

    async def put(self, fruit_id: str) -> None:
        color = self.json_body(FruitBody).color
        change = self.settings["namer"].name(fruit_id)
        self.write_model(await actions.AsyncFruitUpdater(fruit_id, color, change, self.database).update())

    async def delete(self, fruit_id: str) -> None:
        self.found(await actions.AsyncFruitDeleter(fruit_id, self.database).delete())


def make_app(
    database: Database, etcd: Client | None = None, parts: Parts | None = None
) -> ServiceApplication:
    """The service on the database of one master; with `etcd` one process at a time reconciles it."""
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    reconciling = Reconciling(Fruit, database=database, etcd=etcd)
    return ServiceApplication(
        routes,
        database,
        version="1.0.0",
        settings={"namer": ChangeNamer()},
        own_metrics=[reconciling],
        background_work=[reconciling.run],
        parts=parts,
    )


if __name__ == "__main__":
    run(make_app, "Fruits on several masters.", *RECONCILING, guard=MASTERS)
