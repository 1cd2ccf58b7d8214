import base64
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tor_async_couchdb.errors import ResponseError, TransportError, UnauthorizedError
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.wire.login import SessionLogin, TokenLogin
from tor_async_couchdb.wire.secret_file import SecretFile


class Stub(ThreadingHTTPServer):
    """Answers every request with `status` and `body`, or never, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.body = b'{"couchdb": "Welcome"}'
        self.headers: dict[str, str] = {}
        self.refusals = 0  # how many of the next requests are refused, but for logins
        self.silent_until = threading.Event()
        self.silent_until.set()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.host = f"http://127.0.0.1:{self.server_port}"

    def answer(self, status: int, body: object) -> None:
        self.status, self.body = status, json.dumps(body).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Stub
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers)))
        self.server.silent_until.wait(30)
        is_refused = self.server.refusals > 0 and self.path != "/_session"
        self.server.refusals -= is_refused
        self.send_response(401 if is_refused else self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_PUT = do_POST = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as stub:
        thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield stub
        stub.silent_until.set()
        stub.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 201, 202])
def test_created_and_accepted_are_successes_too(stub: Stub, status: int) -> None:
    stub.answer(status, {"ok": True})
    with AdminClient(stub.host) as server:
        assert server.ask("PUT", "database") == {"ok": True}


def test_each_segment_of_a_path_is_quoted(stub: Stub) -> None:
    with AdminClient(stub.host) as server:
        server.ask("GET", "a/b+c", "_design", "d?e#f", query={"rev": "1-a&b"})
    assert stub.asked[0][:2] == ("GET", "/a%2Fb%2Bc/_design/d%3Fe%23f?rev=1-a%26b")


def test_refusal_has_couchdbs_reason_in_one_line(stub: Stub) -> None:
    stub.answer(400, {"error": "compilation_error", "reason": "line 1\n  line 2"})
    with AdminClient(stub.host) as server, pytest.raises(ResponseError) as caught:
        server.ask("PUT", "database")
    assert str(caught.value) == "CouchDB answered PUT /database with 400 compilation_error: line 1 line 2"


def test_server_that_needs_credentials_for_its_welcome_is_not_taken_for_missing(stub: Stub) -> None:
    stub.answer(401, {"error": "unauthorized", "reason": "Authentication required."})
    with AdminClient(stub.host) as server, pytest.raises(UnauthorizedError, match="Authentication required"):
        server.check()


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"version": "1"}', b"\xff"])
def test_another_server_is_not_taken_for_couchdb(stub: Stub, body: bytes) -> None:
    stub.body = body
    with AdminClient(stub.host) as server, pytest.raises(TransportError, match="not CouchDB"):
        server.check()


ASKED: dict[str, Callable[[AdminDatabase], object]] = {
    "exists": AdminDatabase.exists,
    "is_partitioned": AdminDatabase.is_partitioned,
    "count_documents": AdminDatabase.count_documents,
    "fetch": lambda database: database.fetch(["a"]),
    "states": lambda database: database.states(["a"]),
    "document_ids": lambda database: database.document_ids(None, 1),
    "fetch_leaves": lambda database: database.fetch_leaves(["a"]),
    "write": lambda database: database.write([{"_id": "a"}]),
    "put_design_document": lambda database: database.put_design_document("a", {}),
    "one_partition_per_shard": AdminDatabase.one_partition_per_shard,
    "count_pending_updates": lambda database: database.count_pending_updates("a"),
    "fetch_document": lambda database: database.server.fetch_document(database.name, "a"),
}


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[7]",
        "null",
        '{"rows":[{"key":7}],"doc_count":"7","rev":{},"shards":[],"view_index":[],"results":[{"id":"a"}]}',
        '{"rows":{},"doc_count":null,"view_index":{"updates_pending":{}},"results":[{"docs":[{"ok":7}]}]}',
        '{"_id":"a","results":[{"docs":[{"ok":{"_id":"a"}}]}]}',
    ],
)
@pytest.mark.parametrize("name", ASKED)
def test_answer_that_is_not_couchdbs_is_an_error_whatever_was_asked(stub: Stub, name: str, body: str) -> None:
    stub.body = body.encode()
    with AdminClient(stub.host) as server, pytest.raises(TransportError, match="not CouchDB"):
        ASKED[name](AdminDatabase(server, "database"))


def test_redirect_is_not_followed(stub: Stub) -> None:
    stub.status, stub.headers = 302, {"Location": "http://127.0.0.1:1/"}
    with AdminClient(stub.host) as server, pytest.raises(ResponseError, match="302"):
        server.check()


def test_server_that_does_not_answer_is_given_up(stub: Stub) -> None:
    stub.silent_until.clear()
    with AdminClient(stub.host) as server, pytest.raises(TransportError, match=r"no answer within 0\.05 s"):
        server.ask("GET", "database", read_timeout_s=0.05)


def test_every_request_has_a_timeout(monkeypatch: pytest.MonkeyPatch, stub: Stub) -> None:
    timeouts = []
    send = requests.Session.send

    def spy(
        session: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        timeouts.append(options["timeout"])
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", spy)
    with AdminClient(stub.host) as server:
        server.check()
    ((connect_s, read_s),) = timeouts
    assert 0 < connect_s <= 10
    assert 0 < read_s <= 60


def test_unreachable_server_is_an_error() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with (
            AdminClient(f"http://127.0.0.1:{reserved.getsockname()[1]}") as server,
            pytest.raises(TransportError, match="can't be reached"),
        ):
            server.check()


def test_tls_with_a_server_that_speaks_none_fails(stub: Stub) -> None:
    with (
        AdminClient(stub.host.replace("http:", "https:")) as server,
        pytest.raises(TransportError, match="speaks no TLS"),
    ):
        server.check()


@pytest.mark.parametrize("verify", [True, False])
def test_certificates_are_verified_unless_the_client_says_not_to(
    monkeypatch: pytest.MonkeyPatch, stub: Stub, verify: bool
) -> None:
    seen = []
    send = requests.Session.send

    def spy(
        session: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        seen.append(options["verify"])
        return send(session, request, **options)

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "elsewhere")
    monkeypatch.setattr(requests.Session, "send", spy)
    with AdminClient(stub.host, verify_host_ssl_cert=verify) as server:
        server.check()
    assert seen == [verify]


def test_credentials_are_sent_as_utf_8(stub: Stub) -> None:
    with AdminClient(stub.host, credentials=UserPassword("dävid", "geheim€")) as server:
        server.check()
    scheme, _, encoded = stub.asked[0][2]["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode() == "dävid:geheim€"


def test_neither_proxy_nor_netrc_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, stub: Stub, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login dave password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with AdminClient(stub.host) as server:
        server.check()
    assert "Authorization" not in stub.asked[0][2]


def paths(stub: Stub) -> list[str]:
    return [path for _, path, _ in stub.asked]


def test_session_is_begun_once_and_its_cookie_goes_with_each_request(stub: Stub) -> None:
    stub.headers = {"Set-Cookie": "AuthSession=abc; Version=1; Path=/; HttpOnly; Max-Age=600"}
    with AdminClient(stub.host, credentials=SessionLogin("dave", "secret")) as server:
        server.check()
        server.check()
    assert paths(stub) == ["/_session", "/", "/"]
    assert [headers.get("Cookie") for *_, headers in stub.asked] == [None, *["AuthSession=abc"] * 2]
    assert not any("Authorization" in headers for *_, headers in stub.asked)


@pytest.mark.parametrize("refusals", [1, 9])
def test_session_that_is_refused_is_renewed_once(stub: Stub, refusals: int) -> None:
    stub.headers = {"Set-Cookie": "AuthSession=abc; Path=/"}
    with AdminClient(stub.host, credentials=SessionLogin("dave", "secret")) as server:
        server.check()
        stub.asked.clear()
        stub.refusals = refusals
        with contextlib.nullcontext() if refusals == 1 else pytest.raises(UnauthorizedError):
            server.check()
    assert paths(stub) == ["/", "/_session", "/"]


def test_refused_login_is_the_answer(stub: Stub) -> None:
    stub.answer(401, {"error": "unauthorized", "reason": "Name or password is incorrect."})
    with (
        AdminClient(stub.host, credentials=SessionLogin("dave", "s3cret")) as server,
        pytest.raises(UnauthorizedError, match=r"POST /_session .*incorrect") as caught,
    ):
        server.check()
    assert "s3cret" not in str(caught.value)
    assert paths(stub) == ["/_session"]


def test_token_that_was_replaced_is_used_without_a_restart(stub: Stub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    with AdminClient(stub.host, credentials=TokenLogin(SecretFile(file))) as server:
        server.check()
        file.write_text("the second\n")
        server.check()
    assert [headers["Authorization"] for *_, headers in stub.asked] == ["Bearer first", "Bearer the second"]


def test_couchdb_accepts_the_session(couchdb: CouchDBServer) -> None:
    login = SessionLogin(couchdb.username, couchdb.password)
    with AdminClient(couchdb.url, credentials=login) as server:
        assert server.ask("GET", "_session")["info"]["authenticated"] == "cookie"
