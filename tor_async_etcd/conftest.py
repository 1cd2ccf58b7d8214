from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tor_async_etcd import Client
from tor_async_etcd.testing import EtcdServer


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[Client]:
    async with Client(etcd.url) as client:
        yield client


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> bytes:
    """Return the start of keys that are of this test alone."""
    return f"{request.node.nodeid}/".encode()
