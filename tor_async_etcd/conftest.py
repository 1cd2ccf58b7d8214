"""Fixtures for the tests of all folders of this package: an etcd, and keys of a test's own on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tor_async_etcd import Client
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.wire.encoding import Call


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    """An etcd for the whole run."""
    with EtcdServer() as server:
        yield server


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[Client]:
    """A client of the whole run's etcd."""
    async with Client(etcd.url) as client:
        yield client


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> bytes:
    """The start of keys that are of this test alone."""
    return f"{request.node.nodeid}/".encode()


@pytest.fixture
async def secured() -> AsyncIterator[EtcdServer]:
    """An etcd with authentication on, where `reader` may read what starts with "public", and "zoo"."""
    with EtcdServer() as server:
        async with Client(server.url) as client:
            await enable_authentication(client)
        yield server


async def enable_authentication(client: Client) -> None:
    """Add the users `root` (password: "secret") and `reader` ("weak"), and switch authentication on."""
    for path, values in (
        ("auth/user/add", {"name": "root", "password": "secret"}),
        ("auth/user/add", {"name": "reader", "password": "weak"}),
        ("auth/role/add", {"name": "root"}),
        ("auth/role/add", {"name": "reading"}),
        ("auth/role/grant", {"name": "reading", "perm": _PUBLIC}),
        ("auth/role/grant", {"name": "reading", "perm": _ZOO}),
        ("auth/user/grant", {"user": "root", "role": "root"}),
        ("auth/user/grant", {"user": "reader", "role": "reading"}),
        ("auth/enable", {}),
    ):
        fields = dict.fromkeys(values, _as_it_is)
        await client.gateway.call(Call(path, fields, changes=True), values)


_PUBLIC = {"key": "cHVibGlj", "range_end": "cHVibGlk"}  # from "public" to "publid"
_ZOO = {"key": "em9v"}


def _as_it_is(value: Any) -> Any:
    return value
