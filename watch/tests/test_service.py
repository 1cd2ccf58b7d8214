import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator

import aiohttp
import msgspec
import pytest

from tor_async_couchdb import Database
from tor_async_service.listeners import TooManyListenersError
from tor_async_service.tests.serving import problem_of, serving
from watch.access import TOKEN_HEADER
from watch.service import WatchApplication, make_app
from watch.tests.fake_run import RUN_TOKEN, FakeRun
from watch.watching.world import World

_TIMEOUT_S = 10.0
_JSON = "application/json"
_CHANGES = [
    ("PUT", "/faults/database-slow"),
    ("DELETE", "/faults/database-slow"),
    ("DELETE", "/faults"),
    ("POST", "/services/crud%2Fbasic/kill"),
    ("PUT", "/load"),
    ("DELETE", "/load"),
    ("POST", "/attacks/change"),
    ("POST", "/people"),
    ("DELETE", "/people/00000000000000000000000000000000"),
    ("POST", "/nothing"),
]
_OF_FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
_FROM_ELSEWHERE = [
    {"Host": "attacker.example"},
    {"Host": "attacker.example:8088"},
    {"Host": "127.0.0.1.attacker.example:8088"},
    {"Host": "localhost.attacker.example"},
    {"Host": "[::2]:8088"},
    {"Host": "192.168.0.7:8088"},
    {"Origin": "http://attacker.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.fixture
def run() -> Iterator[FakeRun]:
    with FakeRun() as run:
        yield run


@pytest.fixture
async def app(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WatchApplication]:
    monkeypatch.setenv("SUITE_CONTROL_TOKEN", RUN_TOKEN)
    async with Database("http://127.0.0.1:1/none") as database:
        app = make_app(database, control=run.url, interval=0.1)
        work = [asyncio.create_task(work()) for work in app.background_work]
        yield app
        for task in work:
            task.cancel()
        await asyncio.wait(work)


@pytest.fixture
async def client(app: WatchApplication) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(app) as client:
        yield client


async def token_of(client: aiohttp.ClientSession) -> str:
    """The token that the page has."""
    async with client.get("/") as answer:
        found = re.search(r'<meta name="token" data-header="\S+" content="([\w-]+)">', await answer.text())
    assert found is not None
    return found[1]


async def change(
    client: aiohttp.ClientSession, method: str, path: str, body: object = None, **headers: str
) -> aiohttp.ClientResponse:
    """Asks as the page does."""
    own = {TOKEN_HEADER: await token_of(client), "Content-Type": _JSON}
    data = msgspec.json.encode({} if body is None else body)
    url = client._build_url(path)  # so that %2F stays what it is
    return await client.request(method, url, data=data, headers=own | headers)


class TestAccess:
    @pytest.mark.parametrize("path", ["/", "/stream", "/static/main.js", "/faults", "/_health", "/nothing"])
    async def test_a_page_from_elsewhere_can_read_nothing(
        self, client: aiohttp.ClientSession, path: str
    ) -> None:
        for headers in _FROM_ELSEWHERE:
            await problem_of(await client.get(path, headers=headers), 403)

    async def test_a_change_without_the_token_is_refused(
        self, client: aiohttp.ClientSession, run: FakeRun
    ) -> None:
        wrong: tuple[dict[str, str], ...] = (
            {},
            {TOKEN_HEADER: ""},
            {TOKEN_HEADER: "x" * 43},
            {TOKEN_HEADER: RUN_TOKEN},
        )
        for (method, path), token in itertools.product(_CHANGES, wrong):
            headers = token | {"Content-Type": _JSON}
            await problem_of(await client.request(method, path, data=b"{}", headers=headers), 403)
        assert run.requests == []

    async def test_a_change_by_a_form_is_refused(self, client: aiohttp.ClientSession, run: FakeRun) -> None:
        for (method, path), content_type in itertools.product(_CHANGES, _OF_FORMS):
            answer = await change(client, method, path, **{"Content-Type": content_type})
            await problem_of(answer, 415)
        assert run.requests == []

    async def test_a_change_from_elsewhere_is_refused_even_with_the_token(
        self, client: aiohttp.ClientSession, run: FakeRun
    ) -> None:
        for (method, path), headers in itertools.product(_CHANGES, _FROM_ELSEWHERE):
            await problem_of(await change(client, method, path, **headers), 403)
        assert run.requests == []

    async def test_own_page_may_ask(self, client: aiohttp.ClientSession, run: FakeRun) -> None:
        url = str(client._base_url).rstrip("/")
        answer = await change(client, "DELETE", "/faults", Origin=url, **{"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 200
        assert [path for _, path, _ in run.requests] == ["/faults"]

    async def test_page_may_be_neither_framed_nor_read_by_others(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/") as answer:
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in answer.headers

    async def test_the_runs_token_and_the_databases_password_never_reach_a_page(
        self, client: aiohttp.ClientSession, run: FakeRun
    ) -> None:
        run.database |= {"username": "admin", "password": "the database's own"}
        async with client.get("/") as page, client.get("/stream") as stream:
            text = await page.text()
            async with asyncio.timeout(_TIMEOUT_S):
                while b'"faults"' not in (line := await stream.content.readline()):
                    assert line
                    text += line.decode()
        assert RUN_TOKEN not in text
        assert "the database's own" not in text


class TestHead:
    @pytest.mark.parametrize(
        "path", ["/", "/stream", "/static/main.js", "/faults", "/load", "/attacks", "/no"]
    )
    async def test_head_is_get_without_the_body(self, client: aiohttp.ClientSession, path: str) -> None:
        async with client.head(path) as answer, client.get(path) as expected:
            assert (answer.status, await answer.read()) == (expected.status, b"")


class TestControl:
    async def test_a_change_is_passed_on(self, client: aiohttp.ClientSession, run: FakeRun) -> None:
        assert (await change(client, "PUT", "/faults/database-slow", {"grade": 500})).status == 200
        assert (await change(client, "POST", "/services/crud%2Fbasic/kill")).status == 200
        load = {"samples": ["crud/basic"], "users": 3, "fruits": 2, "percent_put": 50}
        assert (await change(client, "PUT", "/load", load)).status == 200
        assert run.requests == [
            ("PUT", "/faults/database-slow", {"grade": 500.0}),
            ("POST", "/services/crud%2Fbasic/kill", {}),
            ("PUT", "/load", load),
        ]

    async def test_what_the_run_refuses_is_told_in_its_words(self, client: aiohttp.ClientSession) -> None:
        problem = await problem_of(await change(client, "PUT", "/faults/nonsense"), 404)
        assert problem["detail"] == "There is no fault 'nonsense'."

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/faults/database-slow", {"grade": "much"}),
            ("/faults/database-slow", {"strength": 1}),
            ("/faults/database-slow", msgspec.Raw(b'{"grade": 1e999}')),
            ("/faults/database-slow", msgspec.Raw(b'{"grade": NaN}')),
            ("/faults/database-slow", msgspec.Raw(b'{"grade": %s}' % (b"9" * 5000))),
            ("/faults/database-slow", msgspec.Raw(b'{"grade":' * 6000)),
            ("/load", msgspec.Raw(b"[" * 60_000)),
            ("/load", {"samples": [], "users": 1, "fruits": 1, "percent_put": 1}),
            ("/load", {"samples": ["crud/basic"], "users": 0, "fruits": 1, "percent_put": 1}),
            ("/load", {"samples": ["crud/basic"], "users": 1, "fruits": 1, "percent_put": 101}),
        ],
        ids=range(10),
    )
    async def test_nonsense_is_refused_before_the_run_is_asked(
        self, client: aiohttp.ClientSession, run: FakeRun, path: str, body: object
    ) -> None:
        await problem_of(await change(client, "PUT", path, body), 400)
        assert run.requests == []

    async def test_health_says_that_the_run_is_gone(
        self, client: aiohttp.ClientSession, run: FakeRun
    ) -> None:
        run.call(run._close())
        async with client.get("/_health?quick=false") as answer:
            assert "can't be reached" in (await answer.json())["details"]["run"]["reason"]

    async def test_unknown_attacks_and_services_are_404(self, client: aiohttp.ClientSession) -> None:
        await problem_of(await change(client, "POST", "/attacks/nonsense"), 404)
        await problem_of(await client.get("/documents/nonsense"), 404)


class TestStream:
    async def test_history_comes_first_and_then_each_moment(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/stream") as first:
            await names_of(first, 3)
        async with client.get("/stream") as second:
            assert await names_of(second, 2) == ["history", "moment"]

    async def test_nothing_is_asked_of_services_while_no_page_is_open(
        self, client: aiohttp.ClientSession, run: FakeRun
    ) -> None:
        async with client.get("/stream") as stream:
            await names_of(stream, 2)
            await asyncio.to_thread(run.wait_until_followed, "crud/basic")
        await asyncio.to_thread(run.wait_until, lambda: not run.services["crud/basic"].listeners)

    def test_too_many_pages_are_refused(self) -> None:
        world = World(max_browsers=1)
        with world.watched(), pytest.raises(TooManyListenersError), world.watched():
            pass

    async def test_a_slow_page_misses_the_oldest_moments(self) -> None:
        world = World(max_messages=3)
        with world.watched() as browser:
            for number in range(10):
                world.set("number", number)
                world.publish({})
            text = b"".join(await browser.take()).decode()
        assert re.findall(r'"number":(\d+)', text) == ["7", "8", "9"]


async def names_of(stream: aiohttp.ClientResponse, count: int) -> list[str]:
    """The names of the first events."""
    names: list[str] = []
    async with asyncio.timeout(_TIMEOUT_S):
        while len(names) < count:
            line = await stream.content.readline()
            assert line, "the stream has ended"
            if line.startswith(b"event: "):
                names.append(line.decode().removeprefix("event: ").strip())
    return names


def test_without_a_token_of_the_run_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUITE_CONTROL_TOKEN", raising=False)
    with pytest.raises(SystemExit, match="SUITE_CONTROL_TOKEN"):
        make_app(Database("http://127.0.0.1:1/none"), control="http://127.0.0.1:1")


@pytest.mark.parametrize("token", ["s3cr3t\udcff", "s3cr3t\n", "s3cr3té"])
def test_with_a_token_that_can_t_be_sent_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("SUITE_CONTROL_TOKEN", token)
    with pytest.raises(SystemExit, match="SUITE_CONTROL_TOKEN: a token must") as caught:
        make_app(Database("http://127.0.0.1:1/none"), control="http://127.0.0.1:1")
    assert "s3cr3t" not in str(caught.value)
