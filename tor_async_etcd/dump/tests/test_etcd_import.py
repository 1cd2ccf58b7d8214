from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tor_async_etcd import Client, ConflictError, KeySet
from tor_async_etcd.dump.dump_format import DumpFormat
from tor_async_etcd.dump.etcd_export import main as export_main
from tor_async_etcd.dump.etcd_import import apply, compare, main
from tor_async_etcd.testing import EtcdServer

EVERYTHING = KeySet(b"", prefix=True)
DICE = random.Random()  # noqa: S311 - not for secrets


@pytest.fixture(scope="module")
def server() -> Iterator[EtcdServer]:
    """Return an etcd whose keys are of these tests alone: the command imports over all there are."""
    with EtcdServer() as server:
        yield server


def refill(server: EtcdServer, items: dict[bytes, bytes]) -> None:
    async def replace_all() -> None:
        async with Client(server.url) as client:
            await client.delete(EVERYTHING)
            for key, value in items.items():
                await client.set(key, value)

    asyncio.run(replace_all())


def stored(server: EtcdServer) -> tuple[dict[bytes, bytes], int]:
    """Return all keys with their values, and etcd's revision."""

    async def get_all() -> tuple[dict[bytes, bytes], int]:
        async with Client(server.url) as client:
            found = await client.get(EVERYTHING)
            return {kv.key: kv.value for kv in found.kvs}, found.header.revision

    return asyncio.run(get_all())


def dump(folder: Path, content: Any) -> str:
    file = folder / "dump.json"
    file.write_text(json.dumps(content))
    return str(file)


def test_only_what_differs_is_changed_and_only_with_delete_deleted(
    server: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refill(server, {b"same": b'{"a": 1}', b"changed": b"1", b"extra": b"1", b"\xff": b"1"})
    file = dump(tmp_path, {"same": {"a": 1}, "changed": 2, "new": 3})
    assert main(["-a", server.url, file, "--verbosity", "verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == ["~ changed", "+ new", "? extra", "? b'\\xff'"]
    assert lines[-1] == "1 to create, 1 to change, 2 not in the file, kept without --delete"
    kept = {b"same": b'{"a": 1}', b"changed": b"2", b"new": b"3"}
    assert stored(server)[0] == {**kept, b"extra": b"1", b"\xff": b"1"}
    assert main(["-a", server.url, file, "--delete"]) == 0
    assert capsys.readouterr().out == "0 to create, 0 to change, 2 to delete\n"
    assert stored(server)[0] == kept


@pytest.mark.parametrize("file_format", ["json", "csv"])
@pytest.mark.parametrize(
    ("types", "items"),
    [
        ([], {b"a": b'{ "x":1.10, "u":"\\u00e4" }', b"b": b"1"}),
        (["-v", "utf8"], {b"a": "ä,\r\n\"'\0".encode(), b"b": b""}),
        (
            ["-k", "binary", "-v", "binary"],
            {bytes([number]): DICE.randbytes(9) for number in range(256)},
        ),
    ],
)
def test_importing_an_export_changes_nothing(
    server: EtcdServer, tmp_path: Path, types: list[str], items: dict[bytes, bytes], file_format: str
) -> None:
    refill(server, items)
    before = stored(server)
    file = str(tmp_path / "dump")
    assert export_main(["-a", server.url, *types, "-f", file_format, "-o", file]) == 0
    assert main(["-a", server.url, *types, "-f", file_format, "--delete", file]) == 0
    assert stored(server) == before
    refill(server, {})
    assert main(["-a", server.url, *types, "-f", file_format, file]) == 0
    assert stored(server)[0].keys() == items.keys()
    if types:
        assert stored(server)[0] == items


def test_dry_run_shows_and_changes_nothing(
    server: EtcdServer, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    refill(server, {b"extra": b"1"})
    before = stored(server)
    arguments = ["-a", server.url, dump(tmp_path, {"new": [1]}), "--delete", "--dry-run"]
    expected = {"to_update": {"new": [1]}, "to_delete": ["extra"]}
    assert main(arguments) == 0
    assert json.loads(capfdbinary.readouterr().out) == expected
    assert main([*arguments, "-o", str(tmp_path / "difference")]) == 0
    assert json.loads((tmp_path / "difference").read_text()) == expected
    assert capfdbinary.readouterr().out == b""
    assert stored(server) == before


def test_more_than_one_transaction_holds_is_done_in_several(
    server: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refill(server, {})
    large = {f"{number:04}": "x" * 400_000 for number in range(5)}
    many = {f"many{number:04}": "" for number in range(300)}
    file = dump(tmp_path, large | many)
    assert main(["-a", server.url, "-v", "utf8", file, "--verbosity", "silent"]) == 0
    assert capsys.readouterr().out == ""
    assert len(stored(server)[0]) == 305


async def test_key_that_was_changed_meanwhile_is_not_touched(server: EtcdServer) -> None:
    async with Client(server.url) as client:
        await client.delete(EVERYTHING)
        await client.set(b"a", b"1")
        await client.set(b"b", b"1")
        dump_format = DumpFormat("utf8", "utf8", "json")
        for change, keys in (
            (client.set(b"a", b"theirs"), (b"a", b"b")),
            (client.set(b"new", b"theirs"), (b"b", b"new")),
            (client.delete(b"b"), (b"b", b"b")),
        ):
            difference = await compare(client, dump_format, dict.fromkeys(keys, b"ours"))
            await change
            with pytest.raises(ConflictError, match=r"0 of .* changes are done, import again"):
                await apply(client, difference.to_update)
        assert [kv.value for kv in (await client.get(EVERYTHING)).kvs] == [b"theirs", b"theirs"]


async def test_changed_key_keeps_its_lease(server: EtcdServer) -> None:
    async with Client(server.url) as client, client.lease(ttl_s=10) as lease:
        await client.set(b"leased", b"1", lease)
        difference = await compare(client, DumpFormat("utf8", "utf8", "json"), {b"leased": b"2"})
        await apply(client, difference.to_update)
        [kv] = (await client.get(b"leased")).kvs
        assert (kv.value, kv.lease) == (b"2", lease.lease_id)


def test_missing_file_is_one_line(server: EtcdServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-a", server.url, "missing.json"]) == 1
    assert capsys.readouterr().err == "[Errno 2] No such file or directory: 'missing.json'\n"
