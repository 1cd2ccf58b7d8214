"""Sessions: with CouchDB through a proxy, and alone on a fake clock."""

import asyncio
import contextlib
import dataclasses
import itertools
import re
import time
from collections.abc import AsyncIterator

import pytest
import yarl
from aiohttp import web

from tor_async_couchdb.calls import Call, Outcome
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConnectError, ResponseError, UnauthorizedError
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import (
    Fault,
    FaultProxy,
    Request,
    answered,
    cut_after,
    cut_before,
    never_answer,
)
from tor_async_couchdb.tests.fake_clock import on_a_fake_clock
from tor_async_couchdb.wire import transport
from tor_async_couchdb.wire.login import SessionLogin
from tor_async_couchdb.wire.sessions import SessionAuthenticator
from tor_async_couchdb.wire.transport import ConnectionBrokeError, Response, UnreachableError

MANY = 20


class ShortSessions:
    """A fault that makes the sessions of CouchDB short, and that revokes them."""

    def __init__(self, life_s: int) -> None:
        self._life_s = life_s
        self._expires_at_s: dict[str, float] = {}
        self.logins = 0
        self.logins_at_a_time: list[int] = []
        self._logging_in = 0

    def revoke_all(self) -> None:
        """As a restart of CouchDB with another secret does it."""
        self._expires_at_s.clear()

    async def __call__(self, request: Request) -> web.StreamResponse:
        if request.path == "/_session":
            return await self._log_in(request)
        expires_at_s = self._expires_at_s.get(request.incoming.headers["Cookie"], 0.0)
        if time.monotonic() >= expires_at_s:
            return web.json_response({"error": "unauthorized", "reason": "expired"}, status=401)
        return await request.forward()

    async def _log_in(self, request: Request) -> web.StreamResponse:
        self.logins += 1
        self._logging_in += 1
        self.logins_at_a_time.append(self._logging_in)
        answer = await request.forward()
        self._logging_in -= 1
        value = answer.headers["Set-Cookie"].partition(";")[0]
        answer.headers["Set-Cookie"] = f"{value}; Path=/; Max-Age={self._life_s}; HttpOnly"
        self._expires_at_s[value] = time.monotonic() + self._life_s
        return answer


@pytest.fixture
async def in_sessions(proxy: FaultProxy, couchdb: CouchDBServer) -> AsyncIterator[Database]:
    """This test's database, whose client logs in."""
    login = SessionLogin(couchdb.username, couchdb.password)
    async with Database(proxy.url, login=login) as database:
        yield database


async def ready(database: Database, proxy: FaultProxy) -> None:
    """Makes what comes before the first write, so that no fault meets it."""
    await database.copies()
    proxy.requests.clear()


def asked(proxy: FaultProxy) -> list[str]:
    """The last part of each path that was asked for."""
    return [re.sub(r"\?.*|.*/", "", request.path) for request in proxy.requests]


async def test_password_is_sent_once_and_then_a_cookie(in_sessions: Database, proxy: FaultProxy) -> None:
    found = await asyncio.gather(*(in_sessions.information() for _ in range(MANY)))
    assert {each["db_name"] for each in found} == {in_sessions.name}
    login, *others = proxy.requests
    assert (login.method, login.path) == ("POST", "/_session")
    assert b"password=" in login.body
    assert len(others) == MANY
    for request in others:
        assert "Authorization" not in request.incoming.headers
        assert request.incoming.headers["Cookie"].startswith("AuthSession=")


async def test_sessions_of_two_seconds_carry_a_load_without_a_failure(
    in_sessions: Database, proxy: FaultProxy
) -> None:
    sessions = ShortSessions(life_s=2)
    proxy.inject(sessions, times=float("inf"))
    counts = [0] * MANY

    async def write(number: int) -> None:
        while sessions.logins < 3:
            await in_sessions.save({"_id": f"{number}-{counts[number]}"})
            counts[number] += 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(write(number) for number in range(MANY)))
    assert set(sessions.logins_at_a_time) == {1}
    assert (await in_sessions.information())["doc_count"] == sum(counts)


async def test_sessions_that_are_revoked_cost_one_login_and_no_failure(
    in_sessions: Database, proxy: FaultProxy
) -> None:
    sessions = ShortSessions(life_s=600)
    proxy.inject(sessions, times=float("inf"))
    await ready(in_sessions, proxy)
    sessions.revoke_all()
    await asyncio.gather(*(in_sessions.information() for _ in range(MANY)))
    assert asked(proxy).count("_session") == 1
    assert set(sessions.logins_at_a_time) == {1}


@pytest.mark.single_copy
async def test_write_that_was_refused_is_sent_once_more_after_a_new_login(
    in_sessions: Database, proxy: FaultProxy
) -> None:
    await ready(in_sessions, proxy)
    proxy.inject(answered(401, "{}"), "_bulk_docs")
    rev = await in_sessions.save({"_id": "a"})
    assert asked(proxy) == ["_bulk_docs", "_session", "_bulk_docs"]
    first, _, second = proxy.requests
    assert first.body == second.body
    assert (await in_sessions.fetch("a"))["_rev"] == rev
    assert rev.startswith("1-")


@pytest.mark.single_copy
async def test_write_that_is_refused_again_is_not_sent_a_third_time(
    in_sessions: Database, proxy: FaultProxy
) -> None:
    await ready(in_sessions, proxy)
    proxy.inject(answered(401, "{}"), "_bulk_docs", times=2)
    with pytest.raises(UnauthorizedError):
        await in_sessions.save({"_id": "a"})
    assert asked(proxy) == ["_bulk_docs", "_session", "_bulk_docs"]


@pytest.mark.single_copy
async def test_write_that_breaks_after_a_new_login_is_looked_for(
    in_sessions: Database, proxy: FaultProxy
) -> None:
    """Its first attempt had no effect; whether the second one had, only its nonce can say."""
    await ready(in_sessions, proxy)
    proxy.inject(answered(401, "{}"), "_bulk_docs")
    proxy.inject(cut_after, "_bulk_docs")
    rev = await in_sessions.save({"_id": "a"})
    assert (await in_sessions.fetch("a"))["_rev"] == rev
    assert asked(proxy).count("_bulk_docs") == 2


@pytest.mark.single_copy
@pytest.mark.parametrize("fault", [cut_before, cut_after, answered(500), answered(429), answered(200, "{}")])
async def test_login_that_fails_is_tried_again_and_the_write_is_sent_once(
    in_sessions: Database, proxy: FaultProxy, fault: Fault
) -> None:
    proxy.inject(fault, "_session")
    await ready(in_sessions, proxy)
    await in_sessions.save({"_id": "a"})
    assert asked(proxy) == ["_bulk_docs"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_credentials_follow_no_redirect(
    in_sessions: Database, proxy: FaultProxy, couchdb_database_url: str, status: int
) -> None:
    async with FaultProxy(couchdb_database_url) as other:
        elsewhere = {"Location": str(yarl.URL(other.url).with_path("/_session"))}
        proxy.inject(answered(status, headers=elsewhere), times=3)
        with pytest.raises(ConnectError, match=f"was answered with {status} and gave no session"):
            await in_sessions.information()
        await in_sessions.information()
        proxy.inject(answered(status, headers=elsewhere), times=3)
        with pytest.raises(ResponseError, match=str(status)):
            await in_sessions.information()
        assert other.requests == []


async def test_node_that_does_not_answer_a_login_leaves_the_write_to_another(
    proxy: FaultProxy, couchdb_database_url: str, couchdb: CouchDBServer
) -> None:
    login = SessionLogin(couchdb.username, couchdb.password)
    async with (
        FaultProxy(couchdb_database_url) as other,
        Database(f"{proxy.url},{other.url}", login=login, timeout_s=3) as database,
    ):
        proxy.inject(never_answer, "_session", times=float("inf"))
        revs = [await database.save({"_id": document_id}) for document_id in "abcd"]
    assert len(revs) == 4
    assert set(asked(proxy)) <= {"_session"}
    assert asked(other).count("_bulk_docs") == 4


async def test_wrong_password_is_reported(proxy: FaultProxy, couchdb: CouchDBServer) -> None:
    async with Database(proxy.url, login=SessionLogin(couchdb.username, "wr0ng")) as database:
        with pytest.raises(UnauthorizedError, match="POST /_session with 401") as caught:
            await database.information()
    assert "wr0ng" not in str(caught.value)


@dataclasses.dataclass
class Server:
    """Answers logins, each with another cookie, and the requests of its last session."""

    life_s: str = "600"
    password: bytes = b"right"
    login_takes_s: float = 0.0
    value: str | None = None  # of the cookie; by default another one each time
    attributes: str = ""
    foreign: tuple[str, str] = ("other=1; Path=/", "")  # cookies before and after that of the session
    error: Exception | None = None
    logins: list[bytes] = dataclasses.field(default_factory=list)
    asked: list[str] = dataclasses.field(default_factory=list)
    cookies: list[str] = dataclasses.field(default_factory=list)
    _numbers: "itertools.count[int]" = dataclasses.field(default_factory=itertools.count)

    async def send(self, request: transport.Request) -> Response:
        method, path = request.method, request.url.raw_path
        self.asked.append(str(request.url))
        await asyncio.sleep(0)
        if not path.endswith("/_session"):
            self.cookies.append(request.headers["Cookie"])
            return Response(200, b"{}", method, path)
        body = request.body or b""
        self.logins.append(body)
        await asyncio.sleep(self.login_takes_s)
        if self.error is not None:
            raise self.error
        if body != self.password:
            return Response(401, b'{"error":"unauthorized","reason":"wrong"}', method, path)
        value = next(self._numbers) if self.value is None else self.value
        cookie = f"AuthSession={value}; Version=1; Path=/; HttpOnly{self._max_age}{self.attributes}"
        return Response(200, b"{}", method, path, set_cookies=(self.foreign[0], cookie, self.foreign[1]))

    @property
    def _max_age(self) -> str:
        return f"; Max-Age={self.life_s}" if self.life_s else ""


class Client:
    """Asks a server in sessions; `form` is what it logs in with."""

    def __init__(self, server: Server, *urls: str) -> None:
        self.form = b"right"
        self.server = server
        nodes = [yarl.URL(url) for url in urls or ("http://h/db",)]
        self.authenticator = SessionAuthenticator(lambda: self.form, nodes, Observer())

    async def ask(self, url: str = "http://h/db/a", timeout_s: float = 30.0) -> int:
        request = transport.Request("GET", yarl.URL(url), None, time.monotonic() + timeout_s)
        return (await self.authenticator.exchange(request, self.server.send)).status


@pytest.mark.parametrize(("life_s", "longest_s"), [("600", 600), ("2", 2), ("", 600), ("x", 600)])
@on_a_fake_clock
async def test_session_is_renewed_in_the_last_quarter_of_its_life_while_requests_use_it(
    life_s: str, longest_s: float
) -> None:
    server = Server(life_s=life_s, login_takes_s=0.01 * longest_s)
    client = Client(server)
    await client.ask()
    await asyncio.sleep(0.70 * longest_s)
    await client.ask()
    assert len(server.logins) == 1
    await asyncio.sleep(0.10 * longest_s)
    for _ in range(10):
        await client.ask()
    assert len(server.logins) == 2
    assert set(server.cookies) == {"AuthSession=0"}
    await asyncio.sleep(0.02 * longest_s)
    await client.ask()
    assert server.cookies[-1] == "AuthSession=1"
    assert len(server.logins) == 2


FOREIGN = ["{x}=1; Path=/", "a,b=c", "=", "", ";", "ä=\x01", "AuthSession", "xAuthSession=no; Max-Age=1"]


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("is_first", [True, False])
@on_a_fake_clock
async def test_cookies_of_others_are_passed_over(foreign: str, is_first: bool) -> None:
    server = Server(life_s="600")
    server.foreign = (foreign, "") if is_first else ("", foreign)
    assert await Client(server).ask() == 200
    assert server.cookies == ["AuthSession=0"]


@pytest.mark.parametrize("attributes", ["; {x}=1", "; Max-Age", "; =", ";;;", "; max-age=600; Max-Age=x"])
@on_a_fake_clock
async def test_odd_attributes_of_the_cookie_are_passed_over(attributes: str) -> None:
    server = Server(life_s="")
    server.attributes = attributes
    assert await Client(server).ask() == 200


@pytest.mark.parametrize("value", ["", "a\x01b", "é", "漢", "\ud800"])
@on_a_fake_clock
async def test_cookie_that_can_t_be_sent_is_no_session(value: str) -> None:
    server = Server(life_s="600")
    server.value = value
    with pytest.raises(ConnectError, match="gave no session"):
        await Client(server).ask()


@on_a_fake_clock
async def test_session_without_an_end_is_renewed_every_day() -> None:
    server = Server(life_s="9" * 400)
    client = Client(server)
    await client.ask()
    await asyncio.sleep(0.8 * 86_400)
    await client.ask()
    await asyncio.sleep(0.1)
    assert len(server.logins) == 2


@on_a_fake_clock
async def test_session_that_has_expired_is_not_used() -> None:
    server = Server(life_s="10")
    client = Client(server)
    await client.ask()
    await asyncio.sleep(11)
    await client.ask()
    assert server.cookies == ["AuthSession=0", "AuthSession=1"]


@on_a_fake_clock
async def test_renewal_that_fails_is_tried_again_a_second_later_and_fails_no_request() -> None:
    server = Server(life_s="100")
    client = Client(server)
    await client.ask()
    server.error = ConnectionBrokeError("the connection broke")
    await asyncio.sleep(80)
    for _ in range(50):
        await client.ask()
        await asyncio.sleep(0.1)
    assert 4 <= len(server.logins) - 1 <= 6
    server.error = None
    await asyncio.sleep(1)
    await client.ask()
    await asyncio.sleep(0.1)
    await client.ask()
    assert server.cookies[-1] == "AuthSession=1"


@on_a_fake_clock
async def test_refused_credentials_are_tried_again_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(password=b"other")
    client = Client(server)
    for _ in range(10):
        with pytest.raises(UnauthorizedError, match="wrong"):
            await client.ask()
    assert len(server.logins) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    await asyncio.sleep(61)
    server.password = b"right"
    assert await client.ask() == 200
    assert len(server.logins) == 2


@on_a_fake_clock
async def test_session_lives_on_while_the_credentials_for_the_next_one_are_refused() -> None:
    server = Server(life_s="1000")
    client = Client(server)
    await client.ask()
    server.password = b"other"
    await asyncio.sleep(800)
    for _ in range(190):
        assert await client.ask() == 200
        await asyncio.sleep(1)
    assert len(server.logins) - 1 == 4
    await asyncio.sleep(20)
    with pytest.raises(UnauthorizedError):
        await client.ask()


@on_a_fake_clock
async def test_refused_credentials_that_change_are_tried_at_once() -> None:
    server = Server(password=b"new")
    client = Client(server)
    with pytest.raises(UnauthorizedError):
        await client.ask()
    client.form = b"new"
    assert await client.ask() == 200


@on_a_fake_clock
async def test_credentials_that_change_during_a_login_are_tried_in_it() -> None:
    server = Server(password=b"new", login_takes_s=1)
    client = Client(server)
    asking = asyncio.create_task(client.ask())
    await asyncio.sleep(0.5)
    client.form = b"new"
    assert await asking == 200
    assert server.logins == [b"right", b"new"]


@on_a_fake_clock
async def test_caller_that_leaves_does_not_end_the_login_of_the_others() -> None:
    server = Server(login_takes_s=1)
    client = Client(server)
    leaving, staying = asyncio.create_task(client.ask()), asyncio.create_task(client.ask())
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert await staying == 200
    assert len(server.logins) == 1
    with pytest.raises(asyncio.CancelledError):
        await leaving


@pytest.mark.parametrize(("timeout_s", "expected"), [(0.5, ConnectError), (3.0, UnreachableError)])
@on_a_fake_clock
async def test_login_that_takes_too_long_is_no_answer(timeout_s: float, expected: type[ConnectError]) -> None:
    """Only a node that had a second blames itself: others are asked in its place."""
    client = Client(Server(login_takes_s=60))
    with pytest.raises(ConnectError, match="POST http://h/_session was not answered within") as caught:
        await client.ask(timeout_s=timeout_s)
    assert type(caught.value) is expected
    await client.authenticator.close()


@on_a_fake_clock
async def test_login_ends_by_itself_even_if_nobody_waits_for_it_any_more() -> None:
    server = Server(login_takes_s=1)
    client = Client(server)
    with pytest.raises(ConnectError):
        await client.ask(timeout_s=0.5)
    await asyncio.sleep(1)
    await client.ask(timeout_s=0.5)
    assert len(server.logins) == 1


@on_a_fake_clock
async def test_closing_ends_a_login_and_those_that_wait_for_it() -> None:
    client = Client(Server(login_takes_s=60))
    asking = asyncio.create_task(client.ask())
    await asyncio.sleep(0.1)
    await client.authenticator.close()
    with pytest.raises(ConnectError, match="were closed"):
        await asking


@on_a_fake_clock
async def test_each_node_has_a_session_of_its_own() -> None:
    server = Server()
    client = Client(server, "http://one/db", "http://two/prefix/db", "http://two/other/db")
    for url in ("http://one/db/a", "http://two/prefix/_uuids", "http://two/other/db/a") * 2:
        await client.ask(url)
    assert [url for url in server.asked if url.endswith("_session")] == [
        "http://one/_session",
        "http://two/prefix/_session",
        "http://two/other/_session",
    ]
    assert server.cookies == ["AuthSession=0", "AuthSession=1", "AuthSession=2"] * 2


@on_a_fake_clock
async def test_login_is_reported_to_the_observer() -> None:
    finished: list[tuple[str, int | None]] = []

    class Recorder(Observer):
        def request_finished(self, call: Call, outcome: Outcome, *more: object, **others: object) -> None:
            finished.append((call.operation, outcome.status))

    server = Server(password=b"other")
    authenticator = SessionAuthenticator(lambda: b"right", [yarl.URL("http://h/db")], Recorder())
    request = transport.Request("GET", yarl.URL("http://h/db"), None, time.monotonic() + 1)
    with contextlib.suppress(UnauthorizedError):
        await authenticator.exchange(request, server.send)
    server.error = UnreachableError("nothing is there")
    authenticator = SessionAuthenticator(lambda: b"right", [yarl.URL("http://h/db")], Recorder())
    with contextlib.suppress(ConnectError):
        await authenticator.exchange(request, server.send)
    assert finished == [("POST /_session", 401), ("POST /_session", None)]
