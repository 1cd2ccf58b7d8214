"""The context: HTTP requests in, interactions on fruits, HTTP answers out."""

import msgspec

from tor_async_couchdb import AsyncFolder, Database, Journal
from tor_async_service import Option, Parts, ServiceApplication, ServiceHandler, run

from . import async_action as actions
from .model import Color


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create or change a fruit."""

    color: Color


class FruitsHandler(ServiceHandler):
    """All fruits."""

    async def post(self) -> None:
        color, journal = self.json_body(FruitBody).color, self.settings["journal"]
        fruit = await actions.AsyncFruitCreator(color, journal, self.database).create()
        self.write_model(fruit, created_at=f"/v1.0/fruits/{fruit.fruit_id}")

    async def get(self) -> None:
        await self.write_models(actions.AsyncFruitsRetriever(self.database, self.settings["update"]))


class FruitHandler(ServiceHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        fruit = actions.AsyncFruitRetriever(fruit_id, self.database, self.settings["update"])
        self.write_model(await fruit.fetch())

    async def put(self, fruit_id: str) -> None:
        color, journal = self.json_body(FruitBody).color, self.settings["journal"]
        self.write_model(await actions.AsyncFruitUpdater(fruit_id, color, journal, self.database).update())

    async def delete(self, fruit_id: str) -> None:
        journal = self.settings["journal"]
        self.found(await actions.AsyncFruitDeleter(fruit_id, journal, self.database).delete())


def make_app(
    database: Database, update: str | None = None, folds: str | None = None, parts: Parts | None = None
) -> ServiceApplication:
    """The service on a database, ready to listen."""
    folder = AsyncFolder(actions.AsyncFruitRetriever, database=database)
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    return ServiceApplication(
        routes,
        database,
        version="1.0.0",
        background_work=[] if folds == "no" else [folder.run],
        settings={"journal": Journal(), "update": update or "true"},
        parts=parts,
    )


if __name__ == "__main__":
    run(
        make_app,
        "Fruits whose changes are documents of their own.",
        Option("update", "HOW", "how reads bring the view up to date: true, lazy or false", is_optional=True),
        Option("folds", "yes|no", "whether this process may fold changes into snapshots", is_optional=True),
    )
