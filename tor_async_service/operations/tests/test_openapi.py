from typing import Annotated, Any

import aiohttp
import msgspec
import pytest
import tornado.web
from openapi_spec_validator import validate

from tor_async_couchdb import Database, Model
from tor_async_couchdb.model.properties import Protection
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.http.answers import Parameter, answers, refuses, takes
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.http.problems import Problem
from tor_async_service.operations.openapi import openapi_document, path_of, representation_type
from tor_async_service.tests.thing_service import make_app


class RottenError(Exception):
    """An error of the service's own."""


class Count(msgspec.Struct):
    """How many there are."""

    count: int


class CountHandler(ServiceHandler):
    """The number of fruits."""

    @takes("color", Parameter(str, "Of which color."))
    @answers(200, Count, media_types=("application/json", "text/plain"))
    async def get(self) -> None:
        """Counts the fruits.

        All of them.
        """


class Person(Model, tag="person_v1.0"):
    """A person."""

    name: Annotated[str, msgspec.Meta(pattern=r"\A[a-z]+\Z"), Protection.PUBLIC]
    pin_hash: Annotated[str, Protection.HASHED]


class Secretive(Model, tag="secretive_v1.0"):
    """A model that decides what it shows."""

    name: str

    def representation(self) -> dict[str, Any]:
        """Nothing."""
        return {}


@pytest.fixture
def document(absent_database: Database) -> dict[str, Any]:
    """The document of the things' service."""
    decoded: dict[str, Any] = msgspec.json.decode(make_app(absent_database).service.openapi())
    return decoded


async def test_service_describes_itself(lone_client: aiohttp.ClientSession) -> None:
    for path in ("/_openapi", "/v1.0/_openapi"):
        async with lone_client.get(path) as response:
            assert response.status == 200
            assert response.content_type == "application/json"
            validate(await response.json())


def test_title_and_version_are_the_services(absent_database: Database) -> None:
    app = ServiceApplication([], absent_database, version="1.2.3", parts=Parts(title="Things, for tests."))
    document = msgspec.json.decode(app.service.openapi())
    assert document["openapi"] == "3.1.1"
    assert document["info"] == {"title": "Things, for tests.", "version": "1.2.3"}


def test_each_method_of_each_route_is_described(document: dict[str, Any]) -> None:
    assert {path: [*operations] for path, operations in document["paths"].items()} == {
        "/things": ["get", "post"],
        "/things/{key}": ["get", "put"],
        "/livez": ["get"],
        "/readyz": ["get"],
        "/_health": ["get"],
        "/_metrics": ["get"],
        "/_version": ["get"],
        "/_noop": ["get"],
        "/_openapi": ["get"],
    }


def test_parameters_of_the_path_and_of_pages_are_described(document: dict[str, Any]) -> None:
    (key,) = document["paths"]["/things/{key}"]["get"]["parameters"]
    assert (key["name"], key["in"], key["schema"]["pattern"]) == ("key", "path", "^[^/]+$")
    limit, start = document["paths"]["/things"]["get"]["parameters"]
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert (start["name"], start["in"]) == ("start", "query")


def test_bodies_and_models_are_described_by_their_types(document: dict[str, Any]) -> None:
    put = document["paths"]["/things/{key}"]["put"]
    assert put["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ThingBody")
    schemas = document["components"]["schemas"]
    assert schemas["ThingBody"]["properties"]["key"] == {"type": "string", "minLength": 1}
    assert schemas["ThingBody"]["additionalProperties"] is False
    items = document["paths"]["/things"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert items["items"]["$ref"].endswith("/Thing")
    assert set(schemas["Thing"]["properties"]) == {"key", "count"}
    assert schemas["Thing"]["required"] == ["key", "count"]


def test_problems_are_described_for_each_status(document: dict[str, Any]) -> None:
    put = document["paths"]["/things/{key}"]["put"]["responses"]
    assert set(put) == {"200", "400", "403", "404", "409", "410", "413", "415", "500", "502", "503"}
    assert set(document["paths"]["/things"]["get"]["responses"]) == {"200", "400", "500", "502", "503"}
    conflict = document["components"]["responses"][put["409"]["$ref"].rpartition("/")[2]]
    assert "Another client changed it at the same time" in conflict["description"]
    (media_type,) = conflict["content"]
    assert media_type == "application/problem+json"
    unavailable = document["components"]["responses"][put["503"]["$ref"].rpartition("/")[2]]
    assert set(unavailable["headers"]) == {"Retry-After"}


def test_declared_answers_parameters_and_own_problems_are_described() -> None:
    document = openapi_document(
        [("/count", CountHandler)],
        title="Fruits",
        version="1",
        own_problems={RottenError: Problem(418, "The fruit is rotten.")},
    )
    validate(document)
    get = document["paths"]["/count"]["get"]
    assert get["summary"] == "Counts the fruits."
    assert [parameter["name"] for parameter in get["parameters"]] == ["color"]
    assert get["responses"]["200"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Count"}},
        "text/plain": {"schema": {"type": "string"}},
    }
    rotten = get["responses"]["418"]["$ref"].rpartition("/")[2]
    assert document["components"]["responses"][rotten]["description"] == "- The fruit is rotten."


def test_status_that_a_method_sets_is_described() -> None:
    class AcceptingHandler(ServiceHandler):
        async def post(self) -> None:
            self.set_status(204)

    document = openapi_document([("/in", AcceptingHandler)], title="In", version="1", own_problems={})
    validate(document)
    responses = document["paths"]["/in"]["post"]["responses"]
    assert [status for status in responses if status.startswith("2")] == ["204"]


def test_error_that_a_method_raises_is_described() -> None:
    class BusyHandler(ServiceHandler):
        async def get(self) -> None:
            raise tornado.web.HTTPError(429, "Too many.")

    document = openapi_document([("/busy", BusyHandler)], title="Busy", version="1", own_problems={})
    validate(document)
    assert document["paths"]["/busy"]["get"]["responses"]["429"]["$ref"].endswith("/Problem429")
    assert "Problem429" in document["components"]["responses"]


def test_what_the_methods_of_a_base_class_take_and_refuse_is_described() -> None:
    class BaseHandler(ServiceHandler):
        @takes("Client-Id", Parameter(str, "Who asks.", place="header", is_required=True))
        @refuses(429)
        def client(self) -> str:
            return self.request.headers["Client-Id"]

    class QuotaHandler(BaseHandler):
        async def get(self) -> None:
            self.write_json({"client": self.client()})

        async def post(self) -> None:
            pass

    document = openapi_document([("/quota", QuotaHandler)], title="Quota", version="1", own_problems={})
    validate(document)
    get, post = (document["paths"]["/quota"][name] for name in ("get", "post"))
    (client,) = get["parameters"]
    assert (client["name"], client["in"], client["required"]) == ("Client-Id", "header", True)
    assert "429" in get["responses"]
    assert "parameters" not in post
    assert "429" not in post["responses"]


def test_handler_of_two_routes_has_two_operations() -> None:
    routes = [("/count", CountHandler), ("/number", CountHandler)]
    document = openapi_document(routes, title="Fruits", version="1", own_problems={})
    validate(document)
    assert len({operations["get"]["operationId"] for operations in document["paths"].values()}) == 2


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (r"/v1\.0/fruits", ("/v1.0/fruits", [])),
        (r"/v1\.0/fruits/([0-9a-f]{32})", ("/v1.0/fruits/{}", ["[0-9a-f]{32}"])),
        ("/a/([^/]+)/b-c/([a-z]*)", ("/a/{}/b-c/{}", ["[^/]+", "[a-z]*"])),
        (r"(?:/v1\.0)?/_health", ("/_health", [])),
        ("/.*", None),
        ("/(a|(b))", None),
        ("/a?", None),
    ],
)
def test_route_is_a_path_or_left_out(route: str, expected: tuple[str, list[str]] | None) -> None:
    assert path_of(route) == expected


def test_routes_that_are_no_paths_are_left_out() -> None:
    document = openapi_document([("/.*", CountHandler)], title="Fruits", version="1", own_problems={})
    assert document["paths"] == {}


def test_representation_has_the_properties_that_clients_see() -> None:
    schema, named = msgspec.json.schema_components([representation_type(Person)])
    assert set(named["Person"]["properties"]) == {"name"}
    assert schema


def test_representation_that_a_model_makes_itself_is_any_object() -> None:
    schema = msgspec.json.schema(representation_type(Secretive))
    assert schema == {"type": "object", "description": "Nothing."}


def test_patterns_are_those_of_json_schema() -> None:
    class PersonHandler(ServiceHandler):
        @answers(200, representation_type(Person))
        async def get(self) -> None: ...

    document = openapi_document([("/person", PersonHandler)], title="People", version="1", own_problems={})
    assert document["components"]["schemas"]["Person"]["properties"]["name"]["pattern"] == "^[a-z]+$"
