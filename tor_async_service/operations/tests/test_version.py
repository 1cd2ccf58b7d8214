import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_service.app.application import Parts
from tor_async_service.http.forwarding import TrustedProxies
from tor_async_service.tests.serving import problem_of, serving
from tor_async_service.tests.thing_service import make_app


@pytest.mark.parametrize("prefix", ["", "/v1.0"])
async def test_version_and_noop_need_no_database(absent_database: Database, prefix: str) -> None:
    async with serving(make_app(absent_database)) as client:
        async with client.get(f"{prefix}/_version") as response:
            assert response.status == 200
            links = {"self": {"href": str(response.url)}}
            assert await response.json() == {"version": "1.2.3", "links": links}
        async with client.get(f"{prefix}/_noop") as response:
            assert response.status == 200
            assert await response.json() == {"links": {"self": {"href": str(response.url)}}}
        async with client.post(f"{prefix}/_noop") as response:
            await problem_of(response, 405)
            assert response.headers["Allow"] == "GET, HEAD"


async def test_href_is_what_the_client_asked_for_behind_a_gateway(absent_database: Database) -> None:
    proxies = TrustedProxies.named("127.0.0.1")
    headers = {"Host": "fruits.example", "X-Forwarded-Proto": "https"}
    async with (
        serving(make_app(absent_database, parts=Parts(trusted_proxies=proxies))) as client,
        client.get("/_noop?x=1", headers=headers) as response,
    ):
        assert await response.json() == {"links": {"self": {"href": "https://fruits.example/_noop?x=1"}}}
