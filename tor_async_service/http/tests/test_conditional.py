from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ChangedError
from tor_async_couchdb.tests.things import Thing
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.http.conditional import ConditionalHandler, Tag, Tags, tags_of
from tor_async_service.tests.serving import problem_of, serving

THING = Thing(id="a", rev="1-a", key="ü", count=0)
LONG = Thing(id="b", rev="1-a", key="x" * 2000)  # long enough for Tornado to compress it


class ThingHandler(ConditionalHandler):
    """A thing that is always the same."""

    async def get(self, name: str) -> None:
        self.write_model({"short": THING, "long": LONG}.get(name))

    async def put(self, name: str) -> None:
        if self.wants_to_create():
            self.write_model(THING, created_at=self.request.path)
            return
        if not self.if_match()(THING):
            raise ChangedError(THING)
        self.write_model(THING.replace(rev="2-b"))

    async def delete(self, name: str) -> None:
        if self.if_match()(THING):
            raise ChangedError(None)


class NextRepresentationHandler(ThingHandler):
    """The same thing, represented in another way."""

    representation_version = "2"


@pytest.fixture
async def client(absent_database: Database, parts: Parts) -> AsyncIterator[aiohttp.ClientSession]:
    routes = [("/things/([a-z]+)", ThingHandler), ("/next/([a-z]+)", NextRepresentationHandler)]
    settings = {"compress_response": True}
    app = ServiceApplication(routes, absent_database, version="1", parts=parts, settings=settings)
    async with serving(app) as client:
        yield client


Ask = Callable[..., Any]


@pytest.fixture
def ask(client: aiohttp.ClientSession) -> Ask:
    """Asks for the short thing, with headers whose names are as in `if_match`."""

    async def ask(method: str = "GET", path: str = "/things/short", **headers: str) -> aiohttp.ClientResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await client.request(method, path, headers={"Accept-Encoding": "identity"} | named)
        await response.read()
        return response

    return ask


@pytest.fixture
async def etag(ask: Ask) -> str:
    return str((await ask()).headers["ETag"])


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("*", Tags((), is_any=True)),
        (' "a" ', Tags([Tag("a")])),
        ('""', Tags([Tag("")])),
        ('W/"a"', Tags([Tag("a", is_weak=True)])),
        ('"a","b" , W/"c"', Tags([Tag("a"), Tag("b"), Tag("c", is_weak=True)])),
        ('"a,b", "cd"', Tags([Tag("a,b"), Tag("cd")])),
        (', ,"a",,', Tags([Tag("a")])),
        ("", Tags([])),
        ('"\x80\xff!#~"', Tags([Tag("\x80\xff!#~")])),
    ],
)
def test_tags_are_read_as_rfc_9110_writes_them(header: str, tags: Tags) -> None:
    assert tags_of(header) == tags


@pytest.mark.parametrize(
    "header", ["a", '"a', 'a"', '"a""b"', '"a" "b"', 'w/"a"', 'W/ "a"', '"a b"', '"a\x7f"', '*, "a"', "**"]
)
def test_malformed_tags_are_refused(header: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        tags_of(header)


def test_long_list_of_nothing_is_read_at_once() -> None:
    assert tags_of(", " * 30_000) == Tags([])
    with pytest.raises(ValueError, match="neither"):
        tags_of(" " * 60_000 + "a")


async def test_answer_with_one_model_has_a_strong_tag_that_says_nothing(ask: Ask, etag: str) -> None:
    assert tags_of(etag).listed[0].is_weak is False
    assert "1-a" not in etag
    assert (await ask()).headers["ETag"] == etag
    assert (await ask("HEAD")).headers["ETag"] == etag


async def test_another_revision_document_or_representation_has_another_tag(ask: Ask, etag: str) -> None:
    others = {
        (await ask("PUT", if_match=etag)).headers["ETag"],
        (await ask(path="/things/long")).headers["ETag"],
        (await ask(path="/next/short")).headers["ETag"],
    }
    assert len(others | {etag}) == 4


async def test_answer_with_a_content_coding_has_a_tag_of_its_own(ask: Ask) -> None:
    plain = (await ask(path="/things/long")).headers["ETag"]
    coded = await ask(path="/things/long", accept_encoding="gzip")
    assert coded.headers["Content-Encoding"] == "gzip"
    assert coded.headers["ETag"] == f'{plain[:-1]}-gzip"'
    tag = coded.headers["ETag"]
    assert (await ask(path="/things/long", accept_encoding="gzip", if_none_match=tag)).status == 304
    assert (await ask(path="/things/long", accept_encoding="gzip", if_none_match=plain)).status == 200
    assert (await ask(path="/things/long", if_none_match=tag)).status == 200


async def test_change_may_name_the_tag_of_any_content_coding(ask: Ask, etag: str) -> None:
    assert (await ask("PUT", if_match=f'{etag[:-1]}-gzip"')).status == 200
    assert (await ask("PUT", if_match=f'{etag[:-1]}-other"')).status == 412


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
async def test_known_answer_is_not_sent_again(ask: Ask, etag: str, method: str, form: str) -> None:
    response = await ask(method, if_none_match=form.format(etag))
    assert (response.status, response.reason) == (304, "Not Modified")
    assert response.headers["ETag"] == etag
    assert not {"Content-Type", "Content-Length", "Content-Encoding"} & response.headers.keys()
    assert response.headers["Vary"] == "Accept-Encoding"
    assert await response.read() == b""


async def test_other_answer_is_sent(ask: Ask) -> None:
    response = await ask(if_none_match='"x", W/"y"')
    assert response.status == 200
    assert (await response.json())["key"] == "ü"


async def test_read_may_require_a_version_too(ask: Ask, etag: str) -> None:
    assert (await ask(if_match=etag)).status == 200
    response = await ask(if_match='"x"')
    await problem_of(response, 412)
    assert response.headers["ETag"] == etag


@pytest.mark.parametrize("form", ["{}", '"x", {}', "*"])
async def test_change_of_the_current_version_is_made(ask: Ask, etag: str, form: str) -> None:
    response = await ask("PUT", if_match=form.format(etag))
    assert response.status == 200
    assert response.headers["Content-Location"] == "/things/short"
    assert response.headers["ETag"] != etag


@pytest.mark.parametrize("form", ['"x"', "W/{}", ""])
async def test_change_of_another_version_is_refused_with_the_current_tag(
    ask: Ask, etag: str, form: str
) -> None:
    response = await ask("PUT", if_match=form.format(etag))
    await problem_of(response, 412)
    assert response.headers["ETag"] == etag


async def test_change_without_a_condition_is_refused(ask: Ask, etag: str) -> None:
    for method in ("PUT", "DELETE"):
        problem = await problem_of(await ask(method), 428)
        assert "If-Match" in problem["detail"]
        await problem_of(await ask(method, if_none_match='"x"'), 428)
    await problem_of(await ask("DELETE", if_none_match="*"), 428)


async def test_change_has_to_meet_both_conditions(ask: Ask, etag: str) -> None:
    assert (await ask("PUT", if_match=etag, if_none_match='"x"')).status == 200
    await problem_of(await ask("PUT", if_match=etag, if_none_match=f"W/{etag}"), 412)
    await problem_of(await ask("PUT", if_match=etag, if_none_match="*"), 412)


async def test_creation_is_answered_with_place_and_tag(ask: Ask, etag: str) -> None:
    response = await ask("PUT", if_none_match="*")
    assert response.status == 201
    assert response.headers["Location"] == "/things/short"
    assert response.headers["ETag"] == etag


async def test_what_can_not_be_found_any_more_has_no_tag(ask: Ask, etag: str) -> None:
    response = await ask("DELETE", if_match=etag)
    await problem_of(response, 412)
    assert "ETag" not in response.headers


async def test_error_has_no_tag_and_is_not_answered_304(ask: Ask) -> None:
    response = await ask(path="/things/none", if_none_match="*")
    await problem_of(response, 404)
    assert "ETag" not in response.headers


@pytest.mark.parametrize(
    ("method", "name"),
    [("GET", "If-None-Match"), ("GET", "If-Match"), ("PUT", "If-Match"), ("PUT", "If-None-Match")],
)
async def test_malformed_condition_is_refused_by_its_name(ask: Ask, method: str, name: str) -> None:
    problem = await problem_of(await ask(method, **{name: "6f1e"}), 400)
    assert name in problem["detail"]
