from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tor_async_etcd.errors import NotSentError, TransportError
from tor_async_etcd.testing import free_ports
from tor_async_etcd.tests.waiting import until
from tor_async_etcd.wire.transport import MAX_CONNECTIONS, Endpoint, HttpTransport


class FakeEtcd:
    """A server that answers a request with its body, unless the body is b"silence".

    After b"last" it answers and closes the connection, after b"bye" it closes without an answer.
    """

    def __init__(self) -> None:
        self.url = ""
        self.heads: list[bytes] = []
        self.connected = 0
        self.opened = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        self.opened += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                body = await reader.readexactly(int(self.heads[-1].rpartition(b"Content-Length: ")[2]))
                if body == b"bye":
                    break
                if body != b"silence":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                if body == b"last":
                    break
        writer.close()
        self.connected -= 1

    async def has_connected(self, count: int) -> bool:
        return self.connected == count


@pytest.fixture
async def fake() -> AsyncIterator[FakeEtcd]:
    fake = FakeEtcd()
    async with await asyncio.start_server(fake.serve, "127.0.0.1", 0) as server:
        fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield fake
        await until(lambda: fake.has_connected(0))


@pytest.fixture
async def transport(fake: FakeEtcd) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(fake.url + "/base/")
    yield transport
    await transport.close()


async def test_one_connection_serves_one_request_after_the_other(
    fake: FakeEtcd, transport: HttpTransport
) -> None:
    for number in range(5):
        assert (await transport.post("kv/put", {"X": "y"}, b"%d" % number, 1.0)).body == b"%d" % number
    assert fake.opened == 1
    assert fake.heads[0].startswith(b"POST /base/v3/kv/put HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX: y\r\n" in fake.heads[0]


async def test_concurrent_requests_share_a_bounded_number_of_connections(
    fake: FakeEtcd, transport: HttpTransport
) -> None:
    replies = await asyncio.gather(*[transport.post("p", {}, b"%d" % number, 5.0) for number in range(300)])
    assert [reply.body for reply in replies] == [b"%d" % number for number in range(300)]
    assert fake.opened <= MAX_CONNECTIONS


async def test_silence_ends_with_time_and_connection(fake: FakeEtcd, transport: HttpTransport) -> None:
    with pytest.raises(TransportError, match=r"did not answer within 0.1 s") as silence:
        await transport.post("p", {}, b"silence", 0.1)
    assert not isinstance(silence.value, NotSentError)
    await until(lambda: fake.has_connected(0))
    with pytest.raises(TransportError, match=r"did not answer within 0.1 s"):
        await transport.open("p", {}, b"silence", 0.1)
    await until(lambda: fake.has_connected(0))


async def test_cancelled_request_ends_its_connection(fake: FakeEtcd, transport: HttpTransport) -> None:
    request = asyncio.create_task(transport.post("p", {}, b"silence", 60.0))
    await until(lambda: fake.has_connected(1))
    request.cancel()
    await until(lambda: fake.has_connected(0))


async def test_answer_that_breaks_off_is_an_error_but_not_unsent(transport: HttpTransport) -> None:
    with pytest.raises(TransportError, match="closed the connection") as broken:
        await transport.post("p", {}, b"bye", 1.0)
    assert not isinstance(broken.value, NotSentError)


async def test_connection_that_was_closed_meanwhile_is_not_used(
    fake: FakeEtcd, transport: HttpTransport
) -> None:
    await transport.post("p", {}, b"last", 1.0)
    await until(lambda: fake.has_connected(0))
    assert (await transport.post("p", {}, b"2", 1.0)).body == b"2"


async def test_waiting_for_a_connection_that_is_never_free_is_unsent(fake: FakeEtcd) -> None:
    transport = HttpTransport(fake.url, max_connections=1)
    first = asyncio.create_task(transport.post("p", {}, b"silence", 0.5))
    await until(lambda: fake.has_connected(1))
    with pytest.raises(NotSentError):
        await transport.post("p", {}, b"1", 0.1)
    with pytest.raises(TransportError):
        await first


async def test_nobody_listening_is_unsent() -> None:
    [port] = free_ports(1)
    with pytest.raises(NotSentError, match="cannot connect"):
        await HttpTransport(f"http://127.0.0.1:{port}").post("p", {}, b"", 1.0)


async def test_refused_stream_has_its_refusal_as_its_only_line(transport: HttpTransport) -> None:
    stream = await transport.open("watch", {}, b'{"error":"no"}', 1.0)
    assert await stream.line() == b'{"error":"no"}'
    with pytest.raises(TransportError, match="ended"):
        await stream.line()
    stream.close()


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://127.0.0.1:2379", ("http://127.0.0.1:2379", None)),
        ("https://host", ("https://host", None)),
        ("http://root:secret@host:1/base", ("http://host:1/base", ("root", "secret"))),
        ("https://r%40t:s%3A%2F%40%25@[::1]:1", ("https://[::1]:1", ("r@t", "s:/@%"))),
        ("http://root:a:b@host", ("http://host", ("root", "a:b"))),
    ],
)
def test_url_has_an_address_and_may_have_credentials(
    text: str, endpoint: tuple[str, tuple[str, str] | None]
) -> None:
    assert Endpoint.parse(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:2379",
        "ftp://host",
        "http://",
        "http://:2379",
        "http://host:0",
        "http://host:65536",
        "http://host:etcd",
        "http://[::1",
        "http://host?x=1",
        "http://host#x",
        "http://root@host",
        "http://root:@host",
        "http://:secret@host",
        "http://@host",
    ],
)
def test_url_that_would_be_understood_in_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Endpoint.parse(text)


@pytest.mark.parametrize("rest", ["h:x", "h?x=1", "h:0", "", "h:99999"])
def test_password_is_not_in_the_error(rest: str) -> None:
    with pytest.raises(ValueError, match="http") as refused:
        Endpoint.parse(f"http://root:s3cr3t@{rest}")
    assert "s3cr3t" not in f"{refused.value} {refused.value.__cause__}"
