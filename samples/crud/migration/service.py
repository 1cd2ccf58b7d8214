"""The context: HTTP requests in, interactions on fruits, HTTP answers out."""

import msgspec

from tor_async_couchdb import Database
from tor_async_service import Option, Parts, ServiceApplication, ServiceHandler, run

from . import async_action as actions
from .model import VERSIONS, Color, Fruit


class FruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create or change a fruit."""

    color: Color


class VersionedHandler(ServiceHandler):
    """Works with the version of fruits that this process writes."""

    @property
    def version(self) -> type[Fruit]:
        version: type[Fruit] = self.settings["version_of_fruits"]
        return version


class FruitsHandler(VersionedHandler):
    """All fruits."""

    async def post(self) -> None:
        color = self.json_body(FruitBody).color
        fruit = await actions.AsyncFruitCreator(color, self.version, self.database).create()
        self.write_model(fruit, created_at=f"/v1.0/fruits/{fruit.fruit_id}")

    async def get(self) -> None:
        await self.write_models(actions.AsyncFruitsRetriever(self.version, self.database))


class FruitHandler(VersionedHandler):
    """One fruit."""

    async def get(self, fruit_id: str) -> None:
        self.write_model(await actions.AsyncFruitRetriever(fruit_id, self.version, self.database).fetch())

    async def put(self, fruit_id: str) -> None:
        color = self.json_body(FruitBody).color
        updater = actions.AsyncFruitUpdater(fruit_id, color, self.version, self.database)
        self.write_model(await updater.update())

    async def delete(self, fruit_id: str) -> None:
        self.found(await actions.AsyncFruitDeleter(fruit_id, self.version, self.database).delete())


def version_named(name: str) -> type[Fruit]:
    """The version that the option names; ValueError if there is none."""
    if name not in VERSIONS:
        raise ValueError(f"{name!r} is none of {', '.join(VERSIONS)}")
    return VERSIONS[name]


def make_app(database: Database, version: type[Fruit], parts: Parts | None = None) -> ServiceApplication:
    """The service on a database, ready to listen."""
    routes = [(r"/v1\.0/fruits", FruitsHandler), (r"/v1\.0/fruits/([0-9a-f]{32})", FruitHandler)]
    settings = {"version_of_fruits": version}
    return ServiceApplication(routes, database, version="1.0.0", settings=settings, parts=parts)


if __name__ == "__main__":
    run(
        make_app,
        "Fruits of two versions.",
        Option("version", "1|2|2-only", "version of the fruits that it writes", read=version_named),
    )
