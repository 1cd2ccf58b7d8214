from collections.abc import Iterator

import pytest

from benchmarks.etcd import guarantees
from tor_async_etcd.testing import EtcdServer


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server


async def test_increments_are_read_back_from_etcd(etcd: EtcdServer) -> None:
    assert await guarantees.increments(etcd.url, clients=3, times=4) == 12
    assert await guarantees.increments(etcd.url, clients=1, times=1) == 13


async def test_bank_is_audited_while_money_moves(etcd: EtcdServer) -> None:
    bank = await guarantees.bank(etcd.url, clerks=2, seconds=0.3)
    assert bank.transfers > 0
    assert bank.audits > 0
    assert bank.wrong == 0


async def test_writes_of_those_who_lost_their_lock_are_refused_and_no_others(etcd: EtcdServer) -> None:
    assert await guarantees.fence(etcd.url, times=3) == (3, 0)
