import functools
from dataclasses import dataclass
from typing import Any

import msgspec
import tornado.web
from tornado.web import HTTPError

from tor_async_couchdb import AsyncModelRetriever, AsyncModelsRetriever, Database, Model, immediately, retry
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.operations.handler_code import Shown, shown_by
from tor_async_service.tests import thing_service


class Fruit(Model, tag="fruit_v1.0"):
    color: str


class FruitBody(msgspec.Struct):
    color: str


class FruitRetriever(AsyncModelRetriever[Fruit]):
    pass


class FruitsRetriever(AsyncModelsRetriever[Fruit]):
    pass


@dataclass(frozen=True)
class Updater:
    database: Database

    @retry(immediately, max_retries=1)
    async def update(self) -> Fruit | None:
        return None

    async def count(self) -> int:
        return 0


class Handler(ServiceHandler):
    async def post(self) -> None:
        body = self.json_body(FruitBody)
        fruit = await FruitRetriever("view", body.color, database=self.database).fetch()
        self.write_model(fruit, created_at="/fruits/1")

    async def get(self) -> None:
        await self.write_models(FruitsRetriever("view", database=self.database))

    async def put(self) -> None:
        self.write_model(await Updater(self.database).update())

    async def patch(self) -> None:
        self.write_json({"count": await Updater(self.database).count()})
        if self.duration_s > 1:
            raise HTTPError(403, "Too late.")
        raise tornado.web.HTTPError(status_code=500)

    async def delete(self) -> None:
        self.found(None)


def test_creation_shows_its_body_and_its_model() -> None:
    expected = Shown(body=FruitBody, model=Fruit, writes="write_model", creates=True, only_creates=True)
    assert shown_by(Handler.post) == expected


def test_list_shows_the_model_of_its_retriever() -> None:
    assert shown_by(Handler.get) == Shown(model=Fruit, writes="write_models")


def test_model_is_what_the_method_of_an_action_gives() -> None:
    assert shown_by(Handler.put) == Shown(model=Fruit, writes="write_model")


def test_other_json_shows_no_model_and_errors_that_are_raised_show_their_status() -> None:
    assert shown_by(Handler.patch) == Shown(writes="write_json", refusals=(403,))


def test_method_that_writes_nothing_shows_so() -> None:
    assert shown_by(Handler.delete) == Shown()


def test_status_that_is_set_is_shown() -> None:
    class Accepting(ServiceHandler):
        async def post(self) -> None:
            self.set_status(204)

    assert shown_by(Accepting.post) == Shown(status=204)


def test_types_may_be_attributes_of_a_module() -> None:
    class Indirect(ServiceHandler):
        async def put(self) -> None:
            self.json_body(thing_service.ThingBody)

    assert shown_by(Indirect.put) == Shown(body=thing_service.ThingBody)


def test_decorated_method_shows_what_is_inside() -> None:
    def decorated(method: Any) -> Any:
        @functools.wraps(method)
        async def wrapped(self: ServiceHandler) -> None:
            await method(self)

        return wrapped

    assert shown_by(decorated(Handler.put)) == shown_by(Handler.put)


def test_body_whose_type_is_made_at_run_time_is_not_known() -> None:
    class Dynamic(ServiceHandler):
        async def put(self) -> None:
            self.json_body(dict[str, int])

    assert shown_by(Dynamic.put) == Shown()


def test_without_source_code_nothing_is_shown() -> None:
    names: dict[str, Any] = {}
    exec("async def get(self): self.write_model(None)", names)  # noqa: S102 - code without a file
    assert shown_by(names["get"]) == Shown(writes="write_json")
