from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tor_async_etcd import Client, KeySet, paging
from tor_async_etcd.etcd_export import main
from tor_async_etcd.testing import EtcdServer


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


def test_compaction_midway_fails_loudly(
    server: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server, {b"%d" % number: b"1" for number in range(4)})
    monkeypatch.setattr(paging, "PAGE_SIZE", 2)
    monkeypatch.setattr(Client, "get", compacting_after(Client.get))
    assert main(["-a", server.url, "-o", str(tmp_path / "dump.json")]) == 1
    assert "has been compacted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def compacting_after(get: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def get_and_compact(client: Client, *arguments: object, **options: object) -> object:
        found = await get(client, *arguments, **options)
        await client.compact((await client.set(b"0", b"2")).header.revision)
        return found

    return get_and_compact


def test_bad_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-a", "nonsense"]) == 1
    assert capsys.readouterr().err == "'nonsense' is not a URL like http://127.0.0.1:2379\n"
