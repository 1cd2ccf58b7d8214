"""The same as the benchmark, in small."""

import pytest

from benchmarks.correctness import SAMPLES, Tally, count_changes, watch_memory
from conftest import CouchDBServer
from suite.couchdb import CouchDB


@pytest.fixture
def server(couchdb: CouchDBServer) -> CouchDB:
    return CouchDB(couchdb.url, couchdb.username, couchdb.password)


@pytest.mark.parametrize("sample", SAMPLES)
def test_each_acknowledged_change_of_two_processes_is_counted_once(sample: str, server: CouchDB) -> None:
    tally = count_changes(sample, server, writers=12, changes=5)
    assert (tally.acknowledged, tally.change_count) == (60, 60)
    assert (tally.lost, tally.doubled, tally.given_up, tally.unknown, tally.failed) == (0, 0, 0, 0, 0)
    assert sorted(tally.answers) == [*range(1, 61)]


def test_change_whose_answer_is_cut_off_is_neither_lost_nor_doubled(server: CouchDB) -> None:
    tally = count_changes("exp_backoff", server, writers=6, changes=10, cut_one_in=10)
    assert tally.cut >= 2
    assert (tally.lost, tally.doubled, tally.given_up, tally.failed) == (0, 0, 0, 0)
    assert 1 <= tally.unknown <= tally.cut
    assert tally.acknowledged <= tally.change_count <= tally.acknowledged + tally.unknown


def test_memory_is_looked_at_after_each_tenth(server: CouchDB) -> None:
    usages = watch_memory("group_commit", server, requests=100, clients=4)
    assert [usage.requests for usage in usages] == [*range(10, 110, 10)]
    assert all(usage.memory_kib > 10_000 and usage.files > 5 for usage in usages)


def test_lost_and_doubled_changes_are_seen() -> None:
    tally = Tally(acknowledged=10, unknown=2, change_count=9)
    assert (tally.lost, tally.doubled) == (1, 0)
    tally = Tally(acknowledged=10, unknown=2, change_count=13)
    assert (tally.lost, tally.doubled) == (0, 1)
    tally = Tally(acknowledged=2, change_count=2)
    tally.answers.update([1, 1])
    assert tally.lost == 1
