from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tor_async_etcd import Client, Compacted, KeySet, OpSet, Transaction
from tor_async_etcd.dump.dump_format import DumpFormat
from tor_async_etcd.dump.etcd_export import export, main
from tor_async_etcd.kv.paging import PAGE_SIZE
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.wire.connection import Reply
from tor_async_etcd.wire.encoding import KV_RANGE
from tor_async_etcd.wire.transport import HttpTransport


@pytest.fixture(scope="module")
def server() -> Iterator[EtcdServer]:
    """Return an etcd whose keys are of these tests alone: the command exports all there are."""
    with EtcdServer() as server:
        yield server


def fill(server: EtcdServer, items: dict[bytes, bytes]) -> None:
    async def replace_all() -> None:
        async with Client(server.url) as client:
            await client.delete(KeySet(b"", prefix=True))
            for key, value in items.items():
                await client.set(key, value)

    asyncio.run(replace_all())


def test_all_keys_are_written_sorted(server: EtcdServer, tmp_path: Path) -> None:
    fill(server, {b"b": b'{"x": 1}', b"a": b"null"})
    file = tmp_path / "dump.json"
    assert main(["-a", server.url, "-o", str(file)]) == 0
    assert file.read_text() == '{\n    "a": null,\n    "b": {\n        "x": 1\n    }\n}\n'


def test_binary_and_csv_go_to_the_standard_output(
    server: EtcdServer, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    fill(server, {b"\xff\x00": b"\x80"})
    assert main(["-a", server.url, "-k", "binary", "-v", "binary", "-f", "csv"]) == 0
    assert capfdbinary.readouterr() == (b"/wA=,gA==\r\n", b"")


def test_value_of_another_type_leaves_the_old_file_alone(
    server: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(server, {b"a": b"text"})
    file = tmp_path / "dump.json"
    file.write_text("old")
    assert main(["-a", server.url, "-o", str(file)]) == 1
    assert capsys.readouterr().err == "the value of b'a' is no json; try -v utf8 or -v binary\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


class CompactingTransport(HttpTransport):
    """Changes a key and compacts everything before that after each page."""

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        reply = await super().post(path, headers, body, timeout_s)
        if path == KV_RANGE.path:
            async with Client(self.url) as client:
                await client.compact((await client.set(b"000", b"2")).header.revision)
        return reply


async def test_compaction_between_two_pages_is_an_error(server: EtcdServer) -> None:
    async with Client(server.url) as client:
        for start in range(0, PAGE_SIZE + 1, 100):
            keys = [b"%03d" % number for number in range(start, start + 100)]
            await client.submit(Transaction(success=[OpSet(key, b"1") for key in keys]))
    async with Client(server.url, transport=CompactingTransport) as client:
        with pytest.raises(Compacted):
            await export(client, DumpFormat("utf8", "json", "json"))


def test_bad_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-a", "nonsense"]) == 1
    assert capsys.readouterr().err == "'nonsense' is not a URL like http://127.0.0.1:2379\n"
