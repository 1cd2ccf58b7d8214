from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tor_async_etcd import (
    Client,
    Compacted,
    Database,
    Election,
    Error,
    KeySet,
    Lease,
    NotSentError,
    OpGet,
    OpSet,
    OutcomeUnknownError,
    Transaction,
    TransportError,
)
from tor_async_etcd.testing import EtcdServer, etcd_cluster, free_ports


async def test_status_tells_version_and_leader(client: Client) -> None:
    status = await client.status()
    assert status.version.startswith("3.")
    assert status.leader == status.header.member_id
    assert status.db_size > 0


async def test_set_returns_the_previous_value_only_when_asked(client: Client, prefix: bytes) -> None:
    first = await client.set(prefix, b"1", return_previous=True)
    second = await client.set(prefix, b"2")
    third = await client.set(prefix, b"3", return_previous=True)
    assert first.previous is None
    assert second.previous is None
    assert third.previous is not None
    assert (third.previous.value, third.previous.version) == (b"2", 2)
    assert third.header.revision == second.header.revision + 1


async def test_set_can_keep_the_value_or_the_lease(client: Client, prefix: bytes) -> None:
    await client.set(prefix, b"kept")
    await client.set(prefix, b"", keep_value=True)
    kept = (await client.get(prefix)).kvs[0]
    assert (kept.value, kept.version) == (b"kept", 2)
    await client.set(prefix, b"new", keep_lease=True)
    assert (await client.get(prefix)).kvs[0].value == b"new"


async def test_missing_key_is_an_empty_range(client: Client, prefix: bytes) -> None:
    missing = await client.get(prefix)
    assert (missing.kvs, missing.count, missing.more) == ([], 0, False)


async def test_any_bytes_come_back_as_they_were(client: Client, prefix: bytes) -> None:
    key, value = prefix + bytes(range(256)), bytes(range(255, -1, -1)) * 4000
    await client.set(key, value)
    assert (await client.get(key)).kvs[0][:2] == (key, value)
    await client.set(key, b"")
    assert (await client.get(key)).kvs[0].value == b""


async def test_get_has_every_option_of_the_gateway(client: Client, prefix: bytes) -> None:
    revisions = [(await client.set(prefix + name, name)).header.revision for name in (b"b", b"a", b"c")]
    keys = KeySet(prefix, prefix=True)
    limited = await client.get(keys, limit=2, sort_order="DESCEND", sort_target="CREATE")
    assert [kv.value for kv in limited.kvs] == [b"c", b"a"]
    assert (limited.count, limited.more) == (3, True)
    assert (await client.get(keys, count_only=True)).count == 3
    assert [kv.value for kv in (await client.get(keys, keys_only=True)).kvs] == [b"", b"", b""]
    past = await client.get(keys, revision=revisions[0], serializable=True)
    assert [kv.value for kv in past.kvs] == [b"b"]
    middle = {"min_mod_revision": revisions[1], "max_mod_revision": revisions[1]}
    assert [kv.value for kv in (await client.get(keys, **middle)).kvs] == [b"a"]  # type: ignore[arg-type]  # ints
    newest = await client.get(keys, min_create_revision=revisions[2], max_create_revision=revisions[2])
    assert [kv.value for kv in newest.kvs] == [b"c"]
    assert (await client.get(prefix + b"a", prefix + b"c")).count == 2


async def test_delete_counts_and_returns_what_it_deleted(client: Client, prefix: bytes) -> None:
    for name in (b"a", b"b", b"c"):
        await client.set(prefix + name, name)
    assert (await client.delete(prefix + b"missing")).deleted == 0
    assert (await client.delete(prefix + b"a")).deleted == 1
    rest = await client.delete(KeySet(prefix, prefix=True), return_previous=True)
    assert (rest.deleted, [kv.value for kv in rest.previous]) == (2, [b"b", b"c"])


async def test_compacted_revision_is_an_error_of_its_own(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client:
            first = (await client.set(prefix, b"1")).header.revision
            last = (await client.set(prefix, b"2")).header.revision
            await client.compact(last, physical=True)
            with pytest.raises(Compacted):
                await client.get(prefix, revision=first)
            assert (await client.get(prefix, revision=last)).kvs[0].value == b"2"


async def test_too_large_a_value_is_refused_with_etcds_reason(client: Client, prefix: bytes) -> None:
    with pytest.raises(Error, match="too large"):
        await client.set(prefix, b"x" * 1_600_000)


async def test_nobody_there_is_a_clear_error_in_time() -> None:
    [port] = free_ports(1)
    async with Client(f"http://127.0.0.1:{port}", timeout_s=0.3) as client:
        async with asyncio.timeout(2):
            with pytest.raises(NotSentError, match=f"cannot connect to http://127.0.0.1:{port}"):
                await client.set(b"a", b"b")


async def test_other_servers_are_told_from_etcd() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", timeout_s=0.3) as client:
            with pytest.raises(TransportError, match="does not answer as an etcd does"):
                await client.get(b"a")


async def test_write_after_a_restart_is_not_sent_to_a_dead_connection(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client:
            await client.set(prefix, b"1")
            server.kill()  # which keeps the loop from noticing that the connection is gone
            server.start()
            server.wait_until_ready()
            await client.set(prefix, b"2")


def test_client_without_a_url_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the URL of a member"):
        Client([])


@pytest.mark.parametrize("how", ["function", "number", "call"])
@pytest.mark.parametrize("coalesce", [False, True])
async def test_call_to_an_etcd_that_hangs_lasts_no_longer_than_it_may(how: str, coalesce: bool) -> None:
    timeout_s: float | Callable[[], float] = 60.0
    options: dict[str, Any] = {"timeout_s": 0.1} if how == "call" else {}
    if how != "call":
        timeout_s = 0.1 if how == "number" else lambda: 0.1
    keys = KeySet(b"a", prefix=True)
    with EtcdServer() as server:
        async with Client(server.url, timeout_s=timeout_s, coalesce=coalesce) as client, asyncio.timeout(30):
            server.pause()
            reads: list[Callable[[], Awaitable[object]]] = [
                lambda: client.get(b"a", **options),
                lambda: client.get(keys, **options),
                lambda: client.status(**options),
                lambda: client.lease_ids(**options),
                lambda: anext(client.pages(keys, **options)),
                lambda: client.watch(keys, **options).__aenter__(),
                lambda: client.submit(Transaction(success=[OpGet(b"a")]), **options),
                lambda: Election(client, b"e").leader(**options),
                lambda: Database(client).status(**options),
                lambda: Database(client).begin(**options).get(b"a"),
            ]
            for read in reads:
                with pytest.raises(TransportError) as failed:
                    await read()
                assert not isinstance(failed.value, OutcomeUnknownError)
            writes: list[Callable[[], Awaitable[object]]] = [
                lambda: client.set(b"a", b"1", **options),
                lambda: client.set(b"a", b"1", return_previous=True, **options),
                lambda: client.delete(b"a", **options),
                lambda: client.submit(Transaction(success=[OpSet(b"a", b"1")]), **options),
                lambda: client.compact(1, **options),
                lambda: granted(client.lease(10, **options)),
            ]
            for write in writes:
                with pytest.raises(OutcomeUnknownError, match="may have been applied"):
                    await write()
            server.resume()


async def granted(lease: Lease) -> Lease:
    return await lease


@pytest.mark.parametrize("coalesce", [False, True])
async def test_call_with_no_time_left_is_not_sent(etcd: EtcdServer, prefix: bytes, coalesce: bool) -> None:
    async with Client(etcd.url, timeout_s=lambda: 0.0, coalesce=coalesce) as late:
        with pytest.raises(NotSentError):
            await late.set(prefix, b"1")
        with pytest.raises(NotSentError):
            await late.get(prefix)
        await late.set(prefix, b"2", timeout_s=10.0)
    async with Client(etcd.url, coalesce=coalesce) as other:
        with pytest.raises(NotSentError):
            await other.set(prefix, b"3", timeout_s=0.0)
        assert (await other.get(prefix)).kvs[0].value == b"2"


async def test_credentials_may_be_in_the_url(secured: EtcdServer) -> None:
    address = secured.url.removeprefix("http://")
    for urls in (f"http://root:secret@{address}", [f"http://root:secret@{address}", secured.url]):
        async with Client(urls) as client:
            await client.set(b"public", b"1")
    async with Client(f"http://root:secret@{address}", username="root", password="secret") as client:
        await client.set(b"public", b"1")
    async with Client(f"http://root:wrong@{address}") as client:
        with pytest.raises(Error, match="invalid user ID or password"):
            await client.get(b"public")


@pytest.mark.parametrize(
    ("urls", "credentials"),
    [
        ("http://a:b@h", {"username": "a", "password": "c"}),
        ("http://a:b@h", {"username": "c", "password": "b"}),
        (["http://a:b@h", "http://a:c@i"], {}),
    ],
)
def test_contradictory_credentials_are_refused(urls: str | list[str], credentials: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not the same everywhere"):
        Client(urls, **credentials)  # type: ignore[arg-type]  # strings


@pytest.mark.parametrize("credentials", [("a\udcff", "b"), ("a", "\ud800")])
def test_credentials_that_are_not_utf_8_are_refused(credentials: tuple[str, str]) -> None:
    username, password = credentials
    with pytest.raises(ValueError, match="must be UTF-8"):
        Client("http://127.0.0.1:1", username=username, password=password)


def test_username_without_password_is_refused() -> None:
    with pytest.raises(TypeError, match="belong together"):
        Client(username="root")


async def test_empty_url_of_the_environment_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_URL", "")
    async with Client(timeout_s=0) as client:
        with pytest.raises(NotSentError):
            await client.get(b"a")


def test_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_URL", "nonsense")
    with pytest.raises(ValueError, match="'nonsense'"):
        Client()


async def test_reads_and_writes_go_on_at_another_member_when_one_is_killed_or_hangs(prefix: bytes) -> None:
    with etcd_cluster(3) as members:
        async with Client([member.url for member in members], timeout_s=9.0) as client:
            await client.set(prefix, b"1")
            leader = (await client.status()).leader
            members[0].kill()
            assert (await client.get(prefix)).kvs[0].value == b"1"
            await client.set(prefix, b"2")
            members[0].start()
            members[0].wait_until_ready()
            assert leader != 0
        async with Client([member.url for member in members[1:]], timeout_s=9.0) as client:
            await client.set(prefix, b"3")
            members[1].pause()
            assert (await client.get(prefix)).kvs[0].value == b"3"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority and a certificate of 127.0.0.1 for both sides of a connection."""
    if shutil.which("openssl") is None:
        pytest.skip("the certificates are made with the command openssl")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "extensions").write_text(
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority"
        " -addext keyUsage=critical,keyCertSign",
        "req -newkey rsa:2048 -nodes -keyout host.key -out host.csr -subj /O=etcd",
        "x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out host.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607
    return folder


async def test_client_certificate_is_shown_and_servers_is_checked(certificates: Path, prefix: bytes) -> None:
    options = [
        f"--cert-file={certificates / 'host.pem'}",
        f"--key-file={certificates / 'host.key'}",
        f"--trusted-ca-file={certificates / 'ca.pem'}",
        "--client-cert-auth",
    ]
    trusting = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    with EtcdServer(*options, scheme="https") as server:
        async with Client(server.url, tls=trusting, timeout_s=1.0) as client:
            with pytest.raises(TransportError):  # it showed no certificate of its own
                await client.get(prefix)
        async with Client(server.url, timeout_s=1.0) as client:
            with pytest.raises(NotSentError, match=r"certificate verify failed"):
                await client.set(prefix, b"1")
        trusting.load_cert_chain(certificates / "host.pem", certificates / "host.key")
        async with Client(server.url, tls=trusting) as client:
            await client.set(prefix, b"1")
            assert (await client.get(prefix)).kvs[0].value == b"1"


async def test_coalescing_client_reads_its_writes(etcd: EtcdServer, prefix: bytes) -> None:
    async def write_and_read(client: Client, number: int) -> None:
        key = prefix + b"%d" % (number % 50)
        revision = (await client.set(key, b"%d" % number)).header.revision
        found = await client.get(key)
        assert found.header.revision >= revision
        assert found.kvs[0].mod_revision >= revision

    async with Client(etcd.url, coalesce=True) as client:
        await asyncio.gather(*[write_and_read(client, number) for number in range(300)])
        assert (await client.get(prefix + b"missing")).kvs == []
        large = [client.set(prefix + b"large%d" % number, b"x" * 400_000) for number in range(8)]
        results = await asyncio.gather(*large, client.set(prefix, b"x" * 1_600_000), return_exceptions=True)
        assert isinstance(results.pop(), Error)
        assert not any(isinstance(result, BaseException) for result in results)
