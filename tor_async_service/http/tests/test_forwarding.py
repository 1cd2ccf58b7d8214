from collections.abc import Mapping

import aiohttp
import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app import options
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.http.forwarding import TrustedProxies
from tor_async_service.tests.serving import problem_of, serving
from tor_async_service.tests.thing_service import make_app

PROXIES = TrustedProxies.named("10.0.0.0/8, 127.0.0.1,fd00::/8")


def request(peer: str, headers: Mapping[str, str]) -> HTTPServerRequest:
    start_line = RequestStartLine("GET", "/things?x=1", "HTTP/1.1")
    made = HTTPServerRequest(start_line=start_line, headers=HTTPHeaders({"Host": "inner:8445", **headers}))
    made.remote_ip = peer
    return made


def outer(peer: str, **forwarded: str) -> tuple[str, str, str, str]:
    """The address, protocol, host and prefix of a request with these X-Forwarded headers."""
    made = request(peer, {f"X-Forwarded-{name}": value for name, value in forwarded.items()})
    prefix = PROXIES.apply(made)
    return str(made.remote_ip), made.protocol, made.host, prefix


ALL = {"For": "203.0.113.7", "Proto": "https", "Host": "fruits.example", "Prefix": "/api"}


@pytest.mark.parametrize("peer", ["10.1.2.3", "127.0.0.1", "fd00::1", "::ffff:10.1.2.3"])
def test_trusted_proxy_is_believed(peer: str) -> None:
    assert outer(peer, **ALL) == ("203.0.113.7", "https", "fruits.example", "/api")


@pytest.mark.parametrize(
    "peer", ["11.0.0.1", "203.0.113.7", "127.0.0.2", "::1", "::ffff:11.0.0.1", "", "unix"]
)
def test_another_peer_is_not_believed(peer: str) -> None:
    assert outer(peer, **ALL) == (peer, "http", "inner:8445", "")


def test_nobody_is_trusted_by_default() -> None:
    made = request("127.0.0.1", {f"X-Forwarded-{name}": value for name, value in ALL.items()})
    assert TrustedProxies().apply(made) == ""
    assert (made.remote_ip, made.protocol, made.host) == ("127.0.0.1", "http", "inner:8445")


def test_proxy_that_says_nothing_is_the_client() -> None:
    assert outer("10.1.2.3") == ("10.1.2.3", "http", "inner:8445", "")


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("203.0.113.7,10.0.0.3,10.0.0.2", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.0.0.2", "203.0.113.7"),  # the first one is what the client claims
        ("10.0.0.4, 10.0.0.3", "10.0.0.4"),
        ("2001:db8::7", "2001:db8::7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, red, 10.0.0.2", "10.0.0.2"),
        ("red", "10.1.2.3"),
        ("203.0.113.7,", "10.1.2.3"),
        ("203.0.113.777", "10.1.2.3"),
        ("203.0.113.7\u0663", "10.1.2.3"),
        ("1" * 5000, "10.1.2.3"),
        ("unknown", "10.1.2.3"),
        ("2130706433", "10.1.2.3"),
    ],
)
def test_client_is_the_last_address_that_a_trusted_proxy_names(forwarded_for: str, client: str) -> None:
    assert outer("10.1.2.3", For=forwarded_for)[0] == client


@pytest.mark.parametrize(
    ("forwarded_for", "forwarded_proto", "protocol"),
    [
        ("203.0.113.7", "https", "https"),
        ("203.0.113.7, 10.0.0.2", "https", "https"),  # the inner proxy leaves it as it is
        ("203.0.113.7, 10.0.0.2", "https, http", "https"),  # each proxy adds one
        ("203.0.113.7", "https, http", "http"),  # the first one is what the client claims
        ("203.0.113.7, 10.0.0.2", "http, https, http", "https"),
        ("203.0.113.7", "HTTPS", "https"),
        ("203.0.113.7", "ftp", "http"),
        ("203.0.113.7", "", "http"),
        ("203.0.113.7", "https,", "http"),
    ],
)
def test_protocol_is_that_of_the_first_trusted_proxy(
    forwarded_for: str, forwarded_proto: str, protocol: str
) -> None:
    assert outer("10.1.2.3", For=forwarded_for, Proto=forwarded_proto)[1] == protocol


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("fruits.example:8443", "fruits.example:8443"),
        ("203.0.113.7", "203.0.113.7"),
        ("[2001:db8::7]:443", "[2001:db8::7]:443"),
        ("evil.example, fruits.example", "fruits.example"),
        ("fruits.example/x", "inner:8445"),
        ("user@fruits.example", "inner:8445"),
        ("fruits.example:port", "inner:8445"),
        ("fruits example", "inner:8445"),
        ("früchte.example", "inner:8445"),
        ("a" * 254, "inner:8445"),
        ("", "inner:8445"),
    ],
)
def test_malformed_host_is_ignored(host: str, expected: str) -> None:
    assert outer("10.1.2.3", Host=host)[2] == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("/api", "/api"),
        ("/api/fruits/", "/api/fruits"),
        ("/a%20b", "/a%20b"),
        ("/evil, /api", "/api"),
        ("/", ""),
        ("api", ""),
        ("//evil.example", ""),
        ("/api//x", ""),
        ("/api?x", ""),
        ("/api#x", ""),
        ("https://evil.example", ""),
        ("/a b", ""),
        ('/"><script>', ""),
        ("\\\\evil.example", ""),
        ("/" + "a" * 256, ""),
        ("", ""),
    ],
)
def test_malformed_prefix_is_ignored(prefix: str, expected: str) -> None:
    assert outer("10.1.2.3", Prefix=prefix)[3] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is neither an address nor a network"),
        ("10.0.0.0/8,", "'' is neither an address nor a network"),
        ("localhost", "'localhost' is neither an address nor a network"),
        ("10.0.0.1/8", "'10.0.0.1/8' is neither an address nor a network: 10.0.0.1/8 has host bits set"),
        ("10.0.0.0/33", "'10.0.0.0/33' is neither an address nor a network"),
    ],
)
def test_wrong_address_of_a_proxy_is_named(text: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        options.parse("x", ["--trusted-proxies", text], {})
    assert f"argument --trusted-proxies: {words}" in capsys.readouterr().err.splitlines()[-1]


HEADERS = {f"X-Forwarded-{name}": value for name, value in ALL.items()}


async def test_answers_have_the_outer_urls(database: Database, documents: Documents) -> None:
    for key in "abc":
        documents.put_thing(key)
    app = make_app(database, parts=Parts(trusted_proxies=TrustedProxies.named("127.0.0.1")))
    async with serving(app) as client:
        async with client.get("/_health?quick=true", headers=HEADERS) as response:
            url = "https://fruits.example/api/_health?quick=true"
            assert response.headers["Location"] == url
            assert (await response.json())["links"]["self"]["href"] == url
        async with client.get("/things?limit=2", headers=HEADERS) as response:
            assert response.headers["Link"].startswith("</api/things?limit=2&start=")
        async with client.post("/things", json={"key": "d"}, headers=HEADERS) as response:
            assert response.status == 201
            assert response.headers["Location"] == "/api/things/d"
        async with client.get("/nothing", headers=HEADERS) as response:
            assert (await problem_of(response, 404))["detail"] == "There is nothing at /api/nothing."
        async with client.delete("/things", headers=HEADERS) as response:
            assert (await problem_of(response, 405))["detail"].startswith("/api/things takes only")


async def test_spoofed_headers_of_another_client_change_nothing(
    lone_client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    spoofed = HEADERS | {"X-Real-Ip": "203.0.113.7", "X-Scheme": "https"}
    async with lone_client.get("/_noop", headers=spoofed) as response:
        assert (await response.json())["links"]["self"]["href"] == str(response.url)
    async with lone_client.get("/nothing", headers=spoofed) as response:
        assert (await problem_of(response, 404))["detail"] == "There is nothing at /nothing."
    assert "GET /nothing (127.0.0.1)" in caplog.text


async def test_next_request_on_a_connection_is_not_forwarded_by_the_one_before(
    absent_database: Database,
) -> None:
    app = ServiceApplication(
        [], absent_database, version="1", parts=Parts(trusted_proxies=TrustedProxies.named("127.0.0.1"))
    )
    async with serving(app) as client:
        async with client.get("/_noop", headers=HEADERS) as response:
            assert (await response.json())["links"]["self"]["href"] == "https://fruits.example/api/_noop"
        async with client.get("/_noop") as response:
            assert (await response.json())["links"]["self"]["href"] == str(response.url)
