from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from tor_async_etcd import (
    Client,
    Compacted,
    Error,
    KeySet,
    Lock,
    NotSentError,
    OutcomeUnknownError,
    TransportError,
)
from tor_async_etcd.results import Json
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.wire.connection import Reply
from tor_async_etcd.wire.encoding import AUTHENTICATE, KV_PUT, KV_RANGE, WATCH_CREATE, Call
from tor_async_etcd.wire.gateway import Gateway

PUT = (KV_PUT, {"key": b"a", "value": b"b"})
RANGE = (KV_RANGE, {"key": b"a"})
NO_LEADER = {"code": 14, "message": "etcdserver: no leader", "error": "etcdserver: no leader"}
TIMED_OUT = {"code": 14, "message": "etcdserver: request timed out", "error": ""}
INVALID_TOKEN = {"code": 16, "message": "etcdserver: invalid auth token", "error": ""}


class FakeStream:
    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.closed = False

    async def line(self) -> bytes:
        if not self.lines:
            raise TransportError("ended")
        return self.lines.pop(0)

    def close(self) -> None:
        self.closed = True


class FakeTransport:
    """An endpoint that answers what it was given, in order, and with the last of that from then on."""

    def __init__(self, *answers: Json | bytes | TransportError) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, Mapping[str, str], Json]] = []

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        self.requests.append((path, headers, json.loads(body)))
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TransportError):
            raise answer
        if isinstance(answer, bytes):
            return Reply(502, answer)
        return Reply(500 if "error" in answer else 200, json.dumps(answer).encode())

    async def open(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> FakeStream:
        reply = await self.post(path, headers, body, timeout_s)
        return FakeStream([reply.body])

    async def close(self) -> None:
        self.requests.clear()


def gateway_of(*transports: FakeTransport, credentials: tuple[str, str] | None = None) -> Gateway:
    return Gateway(transports, credentials, timeout_s=0.5, require_leader=True)


LOST = TransportError("lost")
REFUSED = NotSentError("refused")
DONE: Json = {"header": {"revision": "5"}}


@pytest.mark.parametrize("failure", [LOST, REFUSED, NO_LEADER, TIMED_OUT, b"Bad Gateway"])
async def test_read_is_repeated_at_another_endpoint(failure: Json | bytes | TransportError) -> None:
    bad, good = FakeTransport(failure), FakeTransport(DONE)
    gateway = gateway_of(bad, good)
    assert await gateway.call(*RANGE) == DONE
    assert await gateway.call(*RANGE) == DONE
    assert (len(bad.requests), len(good.requests)) == (1, 2)


@pytest.mark.parametrize("failure", [REFUSED, NO_LEADER])
async def test_write_that_was_certainly_not_applied_is_repeated(failure: Json | TransportError) -> None:
    assert await gateway_of(FakeTransport(failure), FakeTransport(DONE)).call(*PUT) == DONE


@pytest.mark.parametrize("failure", [LOST, TIMED_OUT, b"Bad Gateway"])
async def test_write_that_may_have_been_applied_is_not_repeated(
    failure: Json | bytes | TransportError,
) -> None:
    bad, good = FakeTransport(failure), FakeTransport(DONE)
    gateway = gateway_of(bad, good)
    with pytest.raises(OutcomeUnknownError, match="kv/put may have been applied"):
        await gateway.call(*PUT)
    assert good.requests == []
    assert await gateway.call(*PUT) == DONE  # the next one goes elsewhere at once


@pytest.mark.parametrize("call", [PUT, RANGE])
async def test_refusal_is_raised_and_not_repeated(call: tuple[Call, Mapping[str, bytes]]) -> None:
    refusing = FakeTransport({"code": 7, "message": "etcdserver: permission denied", "error": ""})
    with pytest.raises(Error, match=r"permission denied \(code 7\)") as refused:
        await gateway_of(refusing).call(*call)
    assert refused.value.code == 7
    assert len(refusing.requests) == 1


async def test_repeating_ends_with_the_time_and_the_reason() -> None:
    refusing = FakeTransport(REFUSED)
    with pytest.raises(NotSentError, match="refused"):
        async with asyncio.timeout(2):
            await gateway_of(refusing).call(*PUT)
    assert 2 < len(refusing.requests) < 50


async def test_compaction_is_an_error_of_its_own() -> None:
    message = "etcdserver: mvcc: required revision has been compacted"
    with pytest.raises(Compacted):
        await gateway_of(FakeTransport({"code": 11, "message": message, "error": message})).call(*RANGE)


async def test_error_in_a_stream_is_an_error() -> None:
    transport = FakeTransport({"error": {"grpc_code": 14, "message": "etcdserver: no leader"}})
    messages = await gateway_of(transport).open(WATCH_CREATE, {"create_request": {}})
    with pytest.raises(Error, match="no leader"):
        await messages.next()


async def test_leader_is_required_in_every_request() -> None:
    transport = FakeTransport(DONE)
    await gateway_of(transport).call(*RANGE)
    assert transport.requests[0][1] == {"Grpc-Metadata-hasleader": "true"}
    await Gateway([transport], None, 1.0, require_leader=False).call(*RANGE)
    assert transport.requests[1][1] == {}


async def test_token_is_asked_for_once_for_all_who_need_it_and_again_when_it_is_refused() -> None:
    transport = FakeTransport({"token": "first"}, *[DONE] * 10, INVALID_TOKEN, {"token": "second"}, DONE)
    gateway = gateway_of(transport, credentials=("root", "secret"))
    await asyncio.gather(*[gateway.call(*RANGE) for _ in range(10)])
    await gateway.call(*PUT)
    paths = [path for path, _, _ in transport.requests]
    assert paths.count(AUTHENTICATE.path) == 2
    assert transport.requests[0][2] == {"name": "root", "password": "secret"}
    assert transport.requests[1][1]["Authorization"] == "first"
    assert transport.requests[-1][1]["Authorization"] == "second"


@pytest.fixture
async def secured() -> AsyncIterator[EtcdServer]:
    """Return an etcd with authentication on, where `reader` may read what starts with "public"."""
    with EtcdServer() as server:
        async with Client(server.url) as client:
            for path, values in (
                ("auth/user/add", {"name": "root", "password": "secret"}),
                ("auth/user/add", {"name": "reader", "password": "weak"}),
                ("auth/role/add", {"name": "root"}),
                ("auth/role/add", {"name": "reading"}),
                ("auth/role/grant", {"name": "reading", "perm": PUBLIC}),
                ("auth/user/grant", {"user": "root", "role": "root"}),
                ("auth/user/grant", {"user": "reader", "role": "reading"}),
                ("auth/enable", {}),
            ):
                fields = dict.fromkeys(values, as_it_is)
                await client.gateway.call(Call(path, fields, changes=True), values)
        yield server


def as_it_is(value: object) -> object:
    return value


PUBLIC = {"key": "cHVibGlj", "range_end": "cHVibGlk"}  # from "public" to "publid"


async def test_password_authentication_and_its_renewal_after_a_restart(secured: EtcdServer) -> None:
    async with Client(secured.url, username="root", password="secret") as client:
        async with client.watch(b"public") as watch:
            await client.set(b"public", b"1")
            assert (await anext(watch)).events[0].kv.value == b"1"
            secured.kill()  # etcd's simple tokens end with it
            secured.start()
            secured.wait_until_ready()
            await client.set(b"public", b"2")
            async with asyncio.timeout(10):
                assert (await anext(watch)).events[0].kv.value == b"2"
        async with Lock(client, b"public", ttl_s=5):
            assert (await client.get(b"public")).count == 1


async def test_wrong_password_and_missing_permission_are_said(secured: EtcdServer) -> None:
    async with Client(secured.url, username="root", password="wrong") as client:
        with pytest.raises(Error, match="invalid user ID or password"):
            await client.get(b"public")
    async with Client(secured.url) as client:
        with pytest.raises(Error, match="user name is empty"):
            await client.set(b"public", b"")
    async with Client(secured.url, username="reader", password="weak") as client:
        assert (await client.get(b"public")).count == 0
        with pytest.raises(Error, match="permission denied"):
            await client.set(b"public", b"")
        with pytest.raises(Error, match="permission denied"):
            await client.watch(KeySet(b"secret", prefix=True)).__aenter__()
