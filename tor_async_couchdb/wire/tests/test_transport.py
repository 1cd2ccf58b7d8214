"""A request to CouchDB, tested through `Database`, which sends all of them."""

import asyncio
import base64
import email.utils
import logging
import math
import re
import socket
import time
from collections.abc import Iterator, Mapping

import pytest
import yarl

from tor_async_couchdb import deadline, errors
from tor_async_couchdb.calls import Call, Outcome
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConnectError,
    CouchDBError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import (
    Fault,
    FaultProxy,
    answered,
    cut_before,
    cut_within,
    delayed,
    never_answer,
)
from tor_async_couchdb.tests.fake_clock import on_a_fake_clock
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.single_copy_transport import SingleCopyTransport
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_couchdb.wire.login import BasicLogin, SessionLogin
from tor_async_couchdb.wire.transport import HeaderAuthenticator, Response, Transport, _retry_after_s

SECRET = "s3cr3t/p@ss:w0rd?"


class Recorder(Observer):
    """Records the requests that finished."""

    def __init__(self) -> None:
        self.finished: list[tuple[Call, Outcome]] = []
        self.durations_s: list[float] = []

    def request_finished(
        self, call: Call, outcome: Outcome, duration_s: float, trace: Mapping[str, str] | None = None
    ) -> None:
        self.finished.append((call, outcome))
        self.durations_s.append(duration_s)


class Pauses:
    """Records the pauses before retries, and does not make them."""

    def __init__(self) -> None:
        self.durations_s: list[float] = []

    async def sleep(self, duration_s: float) -> None:
        self.durations_s.append(duration_s)


def new_transport(couchdb: CouchDBServer, pauses: Pauses) -> Transport:
    return Transport(
        validate_cert=True,
        timeout_s=10,
        observer=Observer(),
        retry_budget=RetryBudget(),
        authenticator=HeaderAuthenticator(BasicLogin(couchdb.username, couchdb.password).authorization),
        sleep=pauses.sleep,
    )


class HeldTransport(Transport):
    """Answers requests, without HTTP, once its gate is open; counts those that were sent."""

    def __init__(self) -> None:
        super().__init__(
            validate_cert=True,
            timeout_s=60,
            observer=Observer(),
            retry_budget=RetryBudget(),
        )
        self.gate = asyncio.Event()
        self.sends = 0

    async def exchange(self, method: str, url: yarl.URL, body: bytes | None, deadline_s: float) -> Response:
        self.sends += 1
        await self.gate.wait()
        return Response(200, b'{"db_name":"db","doc_count":0}', method, url.raw_path)


@pytest.fixture
def unreachable_url() -> Iterator[str]:
    """The URL of a database at a port that is bound, but on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/db"


def authorizations(proxy: FaultProxy) -> list[str | None]:
    return [request.incoming.headers.get("Authorization") for request in proxy.requests]


async def test_answer_of_couchdb_comes_back(database: Database, documents: Documents) -> None:
    assert (await database.information())["db_name"] == documents.name


@pytest.mark.parametrize(
    ("username", "password", "sent"),
    [("u", "p", "u:p"), (None, "p", ":p"), ("u", None, "u:"), ("", "", ":"), ("ü", SECRET, f"ü:{SECRET}")],
)
@pytest.mark.parametrize("credentials_in_url", ["", "other:credentials@"])
async def test_credentials_are_sent_if_user_or_password_is_given(
    proxy: FaultProxy, credentials_in_url: str, username: str | None, password: str | None, sent: str
) -> None:
    url = proxy.url.replace("://", f"://{credentials_in_url}")
    async with Database(url, username=username, password=password) as database:
        with pytest.raises(errors.UnauthorizedError):
            await database.information()
    (authorization,) = authorizations(proxy)
    assert authorization is not None
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == sent


async def test_without_credentials_none_are_sent(proxy: FaultProxy) -> None:
    async with Database(proxy.url) as database:
        with pytest.raises(errors.UnauthorizedError):
            await database.information()
    assert authorizations(proxy) == [None]


async def test_credentials_may_stand_in_the_url(
    proxy: FaultProxy, couchdb: CouchDBServer, documents: Documents
) -> None:
    url = proxy.url.replace("://", f"://{couchdb.username}:{couchdb.password}@")
    async with Database(url) as database:
        assert (await database.information())["db_name"] == documents.name


@pytest.mark.parametrize(
    "fault",
    [cut_before, cut_within, never_answer, answered(401), answered(500), answered(200, "<html>")],
)
async def test_credentials_are_in_no_error_log_or_repr(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.inject(answered(200, '{"db_name":"db","cluster":{"n":1}}'))
    proxy.inject(fault, times=math.inf)
    quoted = "s3cr3t%2Fp%40ss%3Aw0rd%3F"
    url = proxy.url.replace("://", f"://fred:{quoted}@")
    async with Database(url, timeout_s=0.2) as database:
        with pytest.raises(CouchDBError) as caught:
            await database.save({"_id": "a"})
        chain: list[BaseException | None] = [caught.value]
        while chain[-1] is not None:
            chain.append(chain[-1].__cause__)
        seen = caplog.text + repr(database) + database.url + "".join(f"{e} {e!r}" for e in chain)
    encoded = base64.b64encode(f"fred:{SECRET}".encode()).decode()
    for secret in ("s3cr3t", "fred", encoded):
        assert secret not in seen


async def test_unreachable_couchdb_shows_no_credentials(
    unreachable_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Database(unreachable_url.replace("://", "://fred:s3cr3t@")) as database:
        with pytest.raises(ConnectError, match="can't be reached") as caught:
            await database.information()
    assert "s3cr3t" not in f"{caught.value}{caught.value.__cause__}{caplog.text}"
    assert "127.0.0.1" in str(caught.value)


async def test_each_request_is_logged_on_one_line(
    database: Database, documents: Documents, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tor_async_couchdb")
    await database.information()
    (record,) = [record for record in caplog.records if record.name.startswith("tor_async_couchdb")]
    assert record.levelno == logging.DEBUG
    assert re.fullmatch(
        rf"CouchDB took \d+\.\d\d ms to respond with 200 to 'GET' against >>>/{documents.name}<<<",
        record.getMessage(),
    )


async def test_view_keys_are_not_logged(
    database: Database, documents: Documents, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    documents.put_view()
    await database.query_view("thing_by_key", key="jane.doe")
    assert "jane" not in caplog.text


async def test_request_without_an_answer_is_logged_too(
    proxy: FaultProxy, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.inject(cut_before, times=math.inf)
    with pytest.raises(TransportError):
        await database.information()
    assert "ms to respond with None to 'GET'" in caplog.text


async def test_observer_learns_of_every_request(proxy: FaultProxy, couchdb: CouchDBServer) -> None:
    recorder = Recorder()
    async with Database(
        proxy.url, username=couchdb.username, password=couchdb.password, observer=recorder
    ) as database:
        await database.information()
        with pytest.raises(errors.NotFoundError):
            await database.view_information("absent")
        proxy.inject(cut_before, times=math.inf)
        with pytest.raises(TransportError):
            await database.information()
    broken = ("GET /{db}", None, "ConnectionBrokeError")
    assert [(call.operation, *outcome) for call, outcome in recorder.finished] == [
        ("GET /{db}", 200, ""),
        ("GET /{db}/_design/{ddoc}/_info", 404, "404"),
        *[broken] * 3,
    ]
    url = yarl.URL(proxy.url)
    assert {(call.database, call.server, call.port) for call, _ in recorder.finished} == {
        (url.name, url.host, url.port)
    }
    assert all(0 <= duration_s < 60 for duration_s in recorder.durations_s)


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (302, ResponseError),
        (400, ResponseError),
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, ResponseError),
        (413, ResponseError),
        (429, ResponseError),
        (500, ResponseError),
        (503, ResponseError),
    ],
)
async def test_refusal_has_the_status_and_couchdbs_reason(
    proxy: FaultProxy, database: Database, documents: Documents, status: int, error_class: type[ResponseError]
) -> None:
    proxy.inject(answered(status, '{"error":"e","reason":"r"}'), times=math.inf)
    with pytest.raises(error_class) as caught:
        await database.information()
    error = caught.value
    assert type(error) is error_class
    assert (error.status, error.error, error.reason) == (status, "e", "r")
    assert (error.method, error.path) == ("GET", f"/{documents.name}")


@pytest.mark.parametrize(
    ("status", "error_class"), [(409, errors.ConflictError), (413, errors.TooLargeError)]
)
async def test_only_a_write_can_conflict_or_be_too_large(
    proxy: FaultProxy, database: Database, status: int, error_class: type[ResponseError]
) -> None:
    proxy.inject(answered(status, '{"error":"e","reason":"r"}'), times=math.inf)
    with pytest.raises(error_class):
        await database.revisions.insert([{"_id": "a", "_rev": "1-0"}])


@pytest.mark.parametrize(
    "body", ["", "<html>Bad Gateway</html>", "[]", "null", '"e"', '{"error":1}', "{", "\x00"]
)
async def test_refusal_with_any_other_body_is_a_refusal_too(
    proxy: FaultProxy, database: Database, body: str
) -> None:
    proxy.inject(answered(502, body), times=math.inf)
    with pytest.raises(ResponseError) as caught:
        await database.information()
    assert caught.value.status == 502


@pytest.mark.parametrize("body", ["", "<html>Log in to the WiFi</html>", "{", '{"a":' * 100_000])
async def test_success_that_is_not_json_is_a_transport_error(
    proxy: FaultProxy, database: Database, body: str
) -> None:
    proxy.inject(answered(200, body))
    with pytest.raises(TransportError, match="is not what CouchDB answers"):
        await database.information()


@pytest.mark.parametrize(
    "fault", [cut_before, cut_within, answered(429), answered(500), answered(502), answered(503, "<html>")]
)
async def test_read_that_fails_for_a_moment_is_sent_again(
    proxy: FaultProxy, database: Database, documents: Documents, fault: Fault
) -> None:
    documents.put(_id="a")
    for read in (database.information(), database.fetch("a")):
        proxy.inject(fault, times=2)
        assert await read
    assert len(proxy.requests) == 6


async def test_read_that_is_refused_or_takes_too_long_is_not_sent_again(
    proxy: FaultProxy, couchdb: CouchDBServer
) -> None:
    async with Database(
        proxy.url, username=couchdb.username, password=couchdb.password, timeout_s=0.3
    ) as database:
        for fault in (answered(400), answered(404), answered(409), answered(200, "<html>"), never_answer):
            proxy.requests.clear()
            proxy.inject(fault)
            with pytest.raises(CouchDBError):
                await database.information()
            assert len(proxy.requests) == 1


async def test_write_that_was_never_sent_is_sent_again(unreachable_url: str) -> None:
    recorder = Recorder()
    async with Database(unreachable_url, transport=SingleCopyTransport(recorder)) as database:
        with pytest.raises(ConnectError):
            await database.save({"_id": "a"})
    assert [(call.operation, outcome.status) for call, outcome in recorder.finished] == [
        ("GET /{db}", 200),
        *[("POST /{db}/_bulk_docs", None)] * 3,
    ]


@pytest.mark.single_copy
async def test_write_that_was_not_handled_is_sent_again(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    proxy.inject(answered(429), times=2)
    rev = await database.save({"_id": "a"})
    assert documents.get("a")["_rev"] == rev
    assert len(proxy.requests) == 3


@pytest.mark.single_copy
@pytest.mark.parametrize("fault", [cut_before, answered(500), answered(503)])
async def test_write_that_may_have_been_handled_is_sent_again_only_after_a_look_up(
    proxy: FaultProxy, database: Database, fault: Fault
) -> None:
    proxy.inject(fault, "_bulk_docs")
    await database.save({"_id": "a"})
    paths = [request.path.rpartition("/")[2] for request in proxy.requests]
    assert paths == ["_bulk_docs", "_bulk_get?revs=true", "_bulk_docs"]


async def test_caller_learns_within_a_fifth_of_a_second_that_the_database_is_down(
    unreachable_url: str, couchdb: CouchDBServer
) -> None:
    for _ in range(5):
        pauses = Pauses()
        async with Database(unreachable_url, transport=new_transport(couchdb, pauses)) as database:
            with pytest.raises(ConnectError):
                await database.fetch("a")
        assert len(pauses.durations_s) == 2
        assert sum(pauses.durations_s) < 0.2


async def test_while_everything_fails_retries_soon_end(proxy: FaultProxy, database: Database) -> None:
    proxy.inject(answered(503, headers={"Retry-After": "0"}), times=math.inf)
    for _ in range(10):
        await asyncio.gather(*(database.information() for _ in range(60)), return_exceptions=True)
    assert len(proxy.requests) == 600 + 480


async def test_retry_waits_as_long_as_couchdb_asks_for(proxy: FaultProxy, couchdb: CouchDBServer) -> None:
    proxy.inject(answered(503, headers={"Retry-After": "7"}))
    pauses = Pauses()
    async with Database(proxy.url, transport=new_transport(couchdb, pauses)) as database:
        assert (await database.information())["doc_count"] == 0
    assert pauses.durations_s == [7]


async def test_retry_that_would_come_after_the_timeout_is_not_made(
    proxy: FaultProxy, couchdb: CouchDBServer
) -> None:
    proxy.inject(answered(503, headers={"Retry-After": "20"}))
    pauses = Pauses()
    async with Database(proxy.url, transport=new_transport(couchdb, pauses)) as database:
        with pytest.raises(ResponseError) as caught:
            await database.information()
    assert caught.value.retry_after_s == 20
    assert pauses.durations_s == []
    assert len(proxy.requests) == 1


def test_retry_after_is_a_number_of_seconds_or_a_date() -> None:
    an_hour_later = email.utils.formatdate(time.time() + 3600, usegmt=True)
    assert 3590 < _retry_after_s(an_hour_later) <= 3600
    assert _retry_after_s("120") == 120
    assert _retry_after_s("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    for header in ("", "soon", "-1", "1.5", "²", "٣", "Fri, 31 Dec 99999 23:59:59 GMT"):
        assert _retry_after_s(header) == 0


@pytest.mark.parametrize(
    "header",
    ["3601", "9" * 400, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"],
)
def test_retry_after_is_an_hour_at_most(header: str) -> None:
    assert _retry_after_s(header) == 3600


async def test_read_whose_connection_keeps_breaking_fails(proxy: FaultProxy, database: Database) -> None:
    proxy.inject(cut_before, times=math.inf)
    with pytest.raises(TransportError, match="the connection broke before GET"):
        await database.information()
    assert len(proxy.requests) == 3


@pytest.mark.parametrize("fault", [never_answer, delayed(5)])
async def test_request_ends_within_its_timeout(
    proxy: FaultProxy, couchdb: CouchDBServer, fault: Fault
) -> None:
    proxy.inject(fault, times=math.inf)
    started_s = time.monotonic()
    async with (
        asyncio.timeout(10),
        Database(proxy.url, username=couchdb.username, password=couchdb.password, timeout_s=0.3) as database,
    ):
        with pytest.raises(TransportError, match=r"did not answer GET .* within 0\.3 s"):
            await database.information()
    assert time.monotonic() - started_s >= 0.3


async def test_request_ends_with_the_callers_deadline(proxy: FaultProxy, database: Database) -> None:
    proxy.inject(never_answer, times=math.inf)
    started_s = time.monotonic()
    async with asyncio.timeout(10):
        with deadline.within(0.3), pytest.raises(TransportError):
            await database.information()
    assert time.monotonic() - started_s >= 0.3


async def test_request_after_the_deadline_is_not_sent(proxy: FaultProxy, database: Database) -> None:
    with deadline.within(-1), pytest.raises(TransportError):
        await database.information()
    assert proxy.requests == []


async def test_requests_beyond_the_limit_wait_for_a_connection_and_then_fail(
    proxy: FaultProxy, database: Database
) -> None:
    proxy.inject(never_answer, times=math.inf)
    async with asyncio.TaskGroup() as group:
        busy = [group.create_task(database.fetch_revision(f"a{number}", "1-a")) for number in range(64)]
        await wait_until(lambda: len(proxy.requests) == 64)
        with deadline.within(0.2), pytest.raises(ConnectError, match="all 64 connections"):
            await database.information()
        for task in busy:
            task.cancel()
    assert len(proxy.requests) == 64


@on_a_fake_clock
async def test_write_that_waits_for_a_connection_is_never_sent_for_a_caller_that_is_cancelled() -> None:
    transport = HeldTransport()
    database = Database("http://127.0.0.1:1/db", transport=transport)
    transport.gate.set()
    await database.copies()
    transport.gate.clear()
    transport.sends = 0
    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(database.information())
        await wait_until(lambda: transport.sends == 64)
        going = asyncio.create_task(database.save({"_id": "a"}))
        await asyncio.sleep(1)
        going.cancel()
        transport.gate.set()
    await asyncio.sleep(3600)
    assert transport.sends == 64


async def test_request_after_a_failed_one_is_answered(proxy: FaultProxy, database: Database) -> None:
    proxy.inject(cut_before, times=math.inf)
    with pytest.raises(TransportError):
        await database.information()
    proxy.clear()
    assert (await database.information())["doc_count"] == 0


async def test_database_recovers_when_couchdb_comes_back(couchdb: CouchDBServer, database_url: str) -> None:
    proxy = FaultProxy(database_url)
    async with proxy:
        url = proxy.url
    async with Database(url, username=couchdb.username, password=couchdb.password) as database:
        for _ in range(2):
            with pytest.raises(ConnectError):
                await database.information()
            async with proxy:
                assert (await database.information())["doc_count"] == 0


@pytest.mark.parametrize("login_class", [BasicLogin, SessionLogin])
async def test_closed_database_asks_no_node(
    proxy: FaultProxy, connect: Connect, couchdb: CouchDBServer, login_class: type[BasicLogin | SessionLogin]
) -> None:
    login = login_class(couchdb.username, couchdb.password)
    async with FaultProxy(proxy.url) as other:
        database = connect(f"{proxy.url},{other.url}", username=None, password=None, login=login)
        await database.copies()
        await database.close()
        proxy.requests.clear()
        other.requests.clear()
        for action in (
            database.information,
            lambda: database.fetch("a"),
            lambda: database.save({"_id": "a"}),
            database.new_document_id,
        ):
            with pytest.raises(ConnectError, match="the connections to CouchDB were closed"):
                await action()
        await database.close()
    assert not proxy.requests
    assert not other.requests


@pytest.mark.single_copy
async def test_closing_ends_the_requests_that_are_under_way(proxy: FaultProxy, database: Database) -> None:
    proxy.inject(never_answer, times=math.inf)
    going = [
        asyncio.create_task(request)
        for request in (database.fetch("a"), database.save({"_id": "a"}), database.design_doc_names())
    ]
    await wait_until(lambda: len(proxy.requests) == len(going))
    await database.close()
    read, written, listed = await asyncio.gather(*going, return_exceptions=True)
    assert isinstance(read, ConnectError), read  # it would have been sent again
    assert isinstance(written, OutcomeUnknownError), written
    assert isinstance(listed, ConnectError), listed
    assert len(proxy.requests) == len(going)


def test_every_status_but_2xx_is_a_refusal() -> None:
    for status in (200, 201, 202):
        response = Response(status, b"{}", "GET", "/db")
        assert response.raise_for_status() is response
    for status in (199, 300, 304, 400):
        with pytest.raises(ResponseError):
            Response(status, b"{}", "GET", "/db").raise_for_status()
