"""The same as the benchmark, in small."""

import collections
from pathlib import Path

import pytest

from benchmarks.correctness.command import SAMPLES, Usage, complaints, count_changes, watch_memory, write
from benchmarks.correctness.tally import Tally
from suite.couchdb import CouchDB
from tor_async_couchdb.testing.couchdb import CouchDBServer


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


FLAT = [Usage(10 * (i + 1), 50_000, 80) for i in range(10)]


def test_nothing_is_complained_of_where_all_is_well() -> None:
    assert complaints({"a": Tally(acknowledged=2, unknown=1, change_count=3, slowest_s=120.5)}, FLAT) == []


@pytest.mark.parametrize(
    ("tally", "complaint"),
    [
        (Tally(acknowledged=2, change_count=1), "a: 1 lost"),
        (Tally(acknowledged=2, change_count=2, answers=collections.Counter({1: 2})), "a: 1 lost"),
        (Tally(acknowledged=2, change_count=3), "a: 1 doubled"),
        (Tally(given_up=1), "a: 1 given up"),
        (Tally(failed=1), "a: 1 failed"),
        (Tally(slowest_s=130), "a: somebody waited for 130.0 s"),
    ],
)
def test_what_is_not_as_it_has_to_be_is_complained_of(tally: Tally, complaint: str) -> None:
    assert complaints({"a": tally}, FLAT) == [complaint]


@pytest.mark.parametrize("last", [Usage(100, 60_000, 80), Usage(100, 50_000, 90)])
def test_growth_is_complained_of(last: Usage) -> None:
    (complaint,) = complaints({}, [*FLAT[:-1], last])
    assert complaint.startswith("it grows")


def test_result_has_what_was_counted(tmp_path: Path) -> None:
    tally = Tally(acknowledged=1234, change_count=1234, slowest_s=1.25, took_s=60)
    text = write(tmp_path, {"basic": tally}, FLAT, ["Machine: one."]).read_text()
    assert "| basic | 1,234 | 0 | 1,234 | 0 | 0 | 0 | 0 | 0 | 1.2 | 60 |" in text
    assert "| 100 | 48.8 | 80 |" in text


@pytest.mark.long
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("cut_one_in", [None, 100])
def test_many_writers_lose_and_double_nothing(sample: str, cut_one_in: int | None, server: CouchDB) -> None:
    tally = count_changes(sample, server, writers=100, changes=20, cut_one_in=cut_one_in)
    assert (tally.lost, tally.doubled, tally.given_up, tally.failed) == (0, 0, 0, 0)
    assert tally.unknown <= tally.cut
    assert tally.acknowledged + tally.unknown == 2000


@pytest.mark.long
@pytest.mark.parametrize("sample", SAMPLES)
def test_memory_and_files_do_not_grow(sample: str, server: CouchDB) -> None:
    usages = watch_memory(sample, server, requests=50_000)
    assert complaints({}, usages) == []
