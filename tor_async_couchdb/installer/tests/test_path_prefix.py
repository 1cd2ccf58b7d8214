import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.testing.couchdb import CouchDBServer


class _Forwarder(BaseHTTPRequestHandler):
    """Takes the prefix from the path of a request and forwards the rest, as a reverse proxy does."""

    server: "Proxy"
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.startswith(self.server.prefix + "/"):
            self.send_error(404)
            return
        connection = http.client.HTTPConnection(self.server.target)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        connection.request(self.command, self.path.removeprefix(self.server.prefix), body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - http.server's names

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        pass


class Proxy(ThreadingHTTPServer):
    """Serves a CouchDB below a path."""

    daemon_threads = True

    def __init__(self, target: str, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.target = target
        self.prefix = prefix
        self.url = f"http://127.0.0.1:{self.server_port}{prefix}"


@pytest.fixture(params=["/couch", "/a/b_c/couch-db"])
def proxy(couchdb: CouchDBServer, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with Proxy(urlsplit(couchdb.url).netloc, request.param) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


async def test_database_behind_a_path_is_installed_and_used(
    proxy: Proxy,
    couchdb: CouchDBServer,
    database: AdminDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "by_size.json").write_text(
        '{"views": {"by_size": {"map": "function(doc) { emit(doc.n); }"}}}'
    )
    monkeypatch.setenv("COUCHDB_USER", couchdb.username)
    monkeypatch.setenv("COUCHDB_PASSWORD", couchdb.password)
    arguments = [f"--host={proxy.url}/", f"--database={database.name}", f"--design-docs={tmp_path}"]
    for _ in range(2):
        assert main(["install", *arguments]) == 0
    assert capsys.readouterr().err == ""
    assert set(database.fetch(["_design/by_size"])) == {"_design/by_size"}
    url = f"{proxy.url}/{database.name}"
    async with Database(url, username=couchdb.username, password=couchdb.password) as behind:
        assert await behind.query_view("by_size") == []


def test_path_without_a_couchdb_is_named(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], database: AdminDatabase
) -> None:
    url = proxy.url.removesuffix(proxy.prefix) + "/elsewhere"
    assert main(["install", f"--host={url}", f"--database={database.name}"]) == 1
    assert f"{url}: something that is not CouchDB answers" in capsys.readouterr().err
