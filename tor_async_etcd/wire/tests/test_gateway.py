from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

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
from tor_async_etcd.conftest import enable_authentication
from tor_async_etcd.results import Json
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.wire.connection import Reply
from tor_async_etcd.wire.encoding import AUTHENTICATE, KV_PUT, KV_RANGE, STATUS, WATCH_CREATE, Call
from tor_async_etcd.wire.gateway import Gateway, content_of
from tor_async_etcd.wire.transport import Stream

PUT = (KV_PUT, {"key": b"a", "value": b"b"})
RANGE = (KV_RANGE, {"key": b"a"})
NO_LEADER = {"code": 14, "message": "etcdserver: no leader", "error": "etcdserver: no leader"}
TIMED_OUT = {"code": 14, "message": "etcdserver: request timed out", "error": ""}
INVALID_TOKEN = {"code": 16, "message": "etcdserver: invalid auth token", "error": ""}


class FakeStream:
    def __init__(self, status: int, lines: list[bytes]) -> None:
        self.status = status
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

    def __init__(self, *answers: Json | bytes | Reply | TransportError) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, Mapping[str, str], Json]] = []
        self.timeouts_s: list[float] = []

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        self.requests.append((path, headers, json.loads(body)))
        self.timeouts_s.append(timeout_s)
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TransportError):
            raise answer
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, bytes):
            return Reply(502, answer)
        return Reply(500 if "error" in answer else 200, json.dumps(answer).encode())

    async def open(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Stream:
        reply = await self.post(path, headers, body, timeout_s)
        return FakeStream(reply.status, [reply.body])

    async def close(self) -> None:
        self.requests.clear()


def gateway_of(
    *transports: FakeTransport,
    credentials: tuple[str, str] | None = None,
    timeout_s: float | Callable[[], float] = 0.5,
) -> Gateway:
    return Gateway(transports, credentials, timeout_s, require_leader=True)


LOST = TransportError("lost")
REFUSED = NotSentError("refused")
DONE: Json = {"header": {"revision": "5"}}
FIRST_TOKEN: Json = {**DONE, "token": "first"}
SECOND_TOKEN: Json = {**DONE, "token": "second"}


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
    transport = FakeTransport(FIRST_TOKEN, *[DONE] * 10, INVALID_TOKEN, SECOND_TOKEN, DONE)
    gateway = gateway_of(transport, credentials=("root", "secret"))
    await asyncio.gather(*[gateway.call(*RANGE) for _ in range(10)])
    await gateway.call(*PUT)
    paths = [path for path, _, _ in transport.requests]
    assert paths.count(AUTHENTICATE.path) == 2
    assert transport.requests[0][2] == {"name": "root", "password": "secret"}
    assert transport.requests[1][1]["Authorization"] == "first"
    assert transport.requests[-1][1]["Authorization"] == "second"


ANSWERS = [
    pytest.param(answer, id=f"{version['etcd']} {answer['case']}")
    for path in sorted((Path(__file__).parent / "answers").glob("*.json"))
    for version in [json.loads(path.read_text())]
    for answer in version["answers"]
]
# The code, and a part of the message, of every case that is an error; all others are not.
ERRORS = {
    "lease that exists": (9, "lease already exists"),
    "revocation of a missing lease": (5, "lease not found"),
    "put with a missing lease": (5, "lease not found"),
    "lease that lives too long": (11, "too large lease TTL"),
    "put without a key": (3, "key is not provided"),
    "key twice in a transaction": (3, "duplicate key"),
    "too many operations": (3, "too many operations"),
    "too large a value": (3, "request is too large"),
    "larger than a message may be": (8, "larger than max"),
    "future revision": (11, "future revision"),
    "body that is no JSON object": (3, "nonsense|cannot unmarshal"),
    "unknown path": (5, "Not Found"),
    "compacted revision": (11, "has been compacted"),
    "compaction of what is compacted": (11, "has been compacted"),
    "authentication while it is off": (9, "authentication is not enabled"),
    "wrong password": (3, "invalid user ID or password"),
    "no token": (3, "user name is empty"),
    "bad token": (16, "invalid auth token"),
    "put without permission": (7, "permission denied"),
    "no leader": (14, "no leader"),
    "watch without a leader": (14, "no leader"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_of_every_etcd_is_understood(answer: Json) -> None:
    reply = Reply(answer["status"], answer["body"].encode())
    if answer["case"] not in ERRORS:
        assert "cluster_id" in content_of(reply)["header"]
        return
    code, message = ERRORS[answer["case"]]
    with pytest.raises(Error, match=message) as refused:
        content_of(reply)
    is_plain_text = answer["body"].startswith("Not Found")
    assert refused.value.code == (12 if is_plain_text else code)
    assert isinstance(refused.value, Compacted) == ("compacted" in message)


def test_every_error_is_in_every_corpus() -> None:
    cases = [answer.values[0]["case"] for answer in ANSWERS]  # type: ignore[index]  # all are dictionaries
    assert {cases.count(case) for case in ERRORS} == {3}


REFUSED_TOKENS = [
    param for param in ANSWERS if re.search("watch with(out)? a (bad )?token", str(param.id)) is not None
]


@pytest.mark.parametrize("answer", REFUSED_TOKENS)
async def test_watch_whose_token_is_refused_gets_another(answer: Json) -> None:
    """etcd refuses it in the watch's first message, in three ways."""
    refusal = json.loads(answer["body"])
    transport = FakeTransport(FIRST_TOKEN, refusal, SECOND_TOKEN, DONE)
    gateway = gateway_of(transport, credentials=("root", "secret"))
    messages = await gateway.open(WATCH_CREATE, {"create_request": {}})
    with pytest.raises(Error) as refused:
        await messages.next()
    if refused.value.code != 7:  # which etcd 3.5.1 says of any refusal: there Watch forgets the token
        assert gateway.is_repeatable(refused.value, WATCH_CREATE)
        await gateway.call(*RANGE)
        assert transport.requests[-1][1]["Authorization"] == "second"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"[]"),
        (200, b"null"),
        (200, b"{}"),
        (200, b"OK"),
        (200, b'{"status": "ok"}'),
        (200, b'{"result": 5}'),
        (200, b"[" * 100_000),
        (200, b'{"error": "a sentence"}'),
        (200, b'{"result": {"header": {}}}\n{"error": {}}'),
        (204, b""),
        (302, b'{"header": {}}'),
        (500, b'{"header": {}}'),
        (502, b"<html>"),
        (503, b'{"message": "no code"}'),
        (503, b'{"code": "14", "message": "no number"}'),
        (408, b"timeout"),
    ],
)
async def test_what_etcd_does_not_say_is_no_acknowledgement(status: int, body: bytes) -> None:
    with pytest.raises(TransportError, match="no answer of an etcd"):
        content_of(Reply(status, body))


@pytest.mark.parametrize(("status", "body"), [(403, b"<html>"), (404, b"404 page"), (421, b"Host")])
async def test_refusal_of_a_proxy_is_an_error_with_its_text(status: int, body: bytes) -> None:
    with pytest.raises(Error, match=body.decode()):
        content_of(Reply(status, body))


async def test_refused_write_is_not_taken_for_an_acknowledged_one_whatever_the_gateway_is() -> None:
    refusal = b'{"code": 9, "message": "etcdserver: lease already exists"}'
    with pytest.raises(Error, match="lease already exists"):
        await gateway_of(FakeTransport(Reply(400, refusal))).call(*PUT)
    with pytest.raises(OutcomeUnknownError):
        await gateway_of(FakeTransport(Reply(200, b"{}"))).call(*PUT)


async def test_error_of_a_stream_that_was_refused_is_an_error() -> None:
    refusal = Reply(401, b'{"code": 16, "message": "etcdserver: invalid auth token"}')
    messages = await gateway_of(FakeTransport(refusal)).open(WATCH_CREATE, {"create_request": {}})
    with pytest.raises(Error, match="invalid auth token"):
        await messages.next()


AUTHENTICATION_IS_OFF = Reply(400, b'{"code": 9, "message": "etcdserver: authentication is not enabled"}')
NO_TOKEN = Reply(400, b'{"code": 3, "message": "etcdserver: user name is empty"}')


async def test_credentials_are_kept_for_when_authentication_is_on(caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport(AUTHENTICATION_IS_OFF, DONE, DONE, NO_TOKEN, FIRST_TOKEN, DONE)
    gateway = gateway_of(transport, credentials=("root", "secret"))
    await gateway.call(*PUT)
    await gateway.call(*RANGE)
    assert [path for path, _, _ in transport.requests].count(AUTHENTICATE.path) == 1
    assert "Authorization" not in transport.requests[-1][1]
    assert "authentication is off" in caplog.text
    await gateway.call(*PUT)  # which is refused for want of a token, so it was not applied
    assert transport.requests[-1][1]["Authorization"] == "first"


async def test_client_without_credentials_does_not_try_again_for_want_of_a_token() -> None:
    transport = FakeTransport(NO_TOKEN)
    with pytest.raises(Error, match="user name is empty"):
        await gateway_of(transport).call(*PUT)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("timeout_s", [0, -1.0, 0.0])
@pytest.mark.parametrize("call", [PUT, RANGE])
async def test_call_without_any_time_left_is_not_sent(
    timeout_s: float, call: tuple[Call, Mapping[str, bytes]]
) -> None:
    transport = FakeTransport(DONE)
    with pytest.raises(NotSentError, match="was over before it was sent"):
        await gateway_of(transport).call(*call, timeout_s=timeout_s)
    with pytest.raises(NotSentError, match="was over before it was sent"):
        await gateway_of(transport, timeout_s=lambda: timeout_s).call(*call)
    assert transport.requests == []


async def test_default_timeout_can_be_asked_for_at_each_call() -> None:
    left_s = [0.25, 0.125]
    transport = FakeTransport(DONE)
    gateway = gateway_of(transport, timeout_s=lambda: left_s.pop(0))
    await gateway.call(*PUT)
    await gateway.call(*RANGE)
    await gateway.call(*RANGE, timeout_s=0.5)
    assert [math.ceil(timeout_s * 8) for timeout_s in transport.timeouts_s] == [2, 1, 4]


async def test_read_leaves_the_other_endpoints_their_part_of_its_time() -> None:
    transports = [FakeTransport(LOST) for _ in range(4)]
    with pytest.raises(TransportError):
        await gateway_of(*transports, timeout_s=10.0).call(*RANGE, timeout_s=0.4)
    assert all(max(transport.timeouts_s) <= 0.1 for transport in transports)


def at(revision: int, cluster_id: int = 1) -> Json:
    return {"header": {"revision": str(revision), "cluster_id": str(cluster_id)}}


@pytest.mark.parametrize("replaced", [at(7), at(1), at(9, cluster_id=2), at(3, cluster_id=2)])
async def test_store_that_was_wiped_or_restored_is_said_once(
    replaced: Json, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = gateway_of(FakeTransport(at(8), replaced))
    await gateway.call(*PUT)
    for _ in range(3):
        await gateway.call(*RANGE)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "wiped, or restored" in caplog.text


async def test_member_that_may_be_behind_is_not_taken_for_a_replaced_store(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway = gateway_of(FakeTransport(at(8), at(7), at(7), at(8), at(9)))
    await gateway.call(*PUT)
    await gateway.call(KV_RANGE, {"key": b"a", "serializable": True})
    await gateway.call(STATUS, {})
    await gateway.call(*PUT)
    await gateway.call(*RANGE)
    assert caplog.text == ""


async def test_outage_is_one_line_however_many_calls_meet_it(caplog: pytest.LogCaptureFixture) -> None:
    gateway = gateway_of(FakeTransport(REFUSED, REFUSED, REFUSED, DONE, LOST, DONE))
    for _ in range(2):
        await gateway.call(*RANGE)
    assert [record.getMessage() for record in caplog.records] == [
        "etcd does not answer as it should, trying again: refused",
        "etcd does not answer as it should, trying again: lost",
    ]


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


async def test_authentication_may_be_switched_on_and_off_under_a_running_client(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with (
            Client(server.url) as stranger,
            Client(server.url, username="root", password="secret") as client,
            client.watch(prefix) as watch,
            asyncio.timeout(30),
        ):
            for number in range(3):
                await client.set(prefix, b"off %d" % number)
                assert (await anext(watch)).events[0].kv.value == b"off %d" % number
                await (enable_authentication(stranger) if number == 0 else switch(stranger, "auth/enable"))
                await client.set(prefix, b"on %d" % number)
                assert (await anext(watch)).events[0].kv.value == b"on %d" % number
                with pytest.raises(Error, match="user name is empty"):
                    await stranger.get(prefix)
                async with client.lease(ttl_s=5) as lease:
                    assert await lease.keys() == []
                await switch(client, "auth/disable")


async def switch(client: Client, path: str) -> None:
    await client.gateway.call(Call(path, {}, changes=True), {})
