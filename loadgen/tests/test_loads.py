"""Loads on several services at the same time."""

from collections import Counter
from pathlib import Path

import pytest

from loadgen.answers import NOT_SENT, Answer, Outcome
from loadgen.fruits import ServiceError
from loadgen.history import read_history
from loadgen.loads import Loads
from loadgen.tests.fruit_service import Service, running
from loadgen.traffic import Request


def test_users_are_spread_evenly_over_services_and_their_urls() -> None:
    with running(Service()) as one, running(Service()) as other:
        loads = Loads(
            {"one": [one.url], "other": [other.url, "http://127.0.0.1:1"]}, fruits=1, percent_put=80
        )
        users = Counter(loads.of_client(next(loads.clients))[::2] for _ in range(8))
        loads.close()
    assert users == {("one", one.url): 4, ("other", other.url): 2, ("other", "http://127.0.0.1:1"): 2}


def test_each_service_has_books_of_its_own_and_all_share_the_files(tmp_path: Path) -> None:
    tsv, history = tmp_path / "requests.tsv", tmp_path / "history.jsonl"
    with running(Service()) as one, running(Service()) as other:
        services = {"one": [one.url], "other": [other.url]}
        loads = Loads(services, fruits=1, percent_put=80, tsv=tsv, history=history)
        for number in (0, 1):
            _, load, _ = loads.of_client(number)
            (fruit_id,) = load.fruit_ids
            answer = Answer(Outcome.SUCCEEDED, change_count=number + 1, status=200)
            loads.record(load, Request("PUT", fruit_id, number, 1.0, 0.5, answer, 1))
            loads.record(load, Request("PUT", fruit_id, number, 1.0, 0.5, NOT_SENT, 1))
        assert {name: books.in_database for name, books in loads.figures().items()} == {"one": 1, "other": 2}
        other.change_counts[fruit_id] = 2
        assert {name: summary.lost for name, summary in loads.end().items()} == {"one": 1, "other": 0}
        loads.close()
        assert one.change_counts == other.change_counts == {}
    assert len(tsv.read_text().splitlines()) == 5
    kinds = Counter(operation.kind for _, operation in read_history(history))
    assert kinds == {"create": 2, "update": 2, "read": 2, "delete": 2}


def test_books_are_open_until_there_is_a_verdict() -> None:
    with running(Service()) as service:
        loads = Loads({"one": [service.url]}, fruits=1, percent_put=80)
        assert loads.is_running
        loads.close()
    loads.conclude([], ["linearizable: yes"])
    assert loads.verdict == "No acknowledged update was lost.\nlinearizable: yes"
    loads.conclude(["one: 2 were lost"], [])
    assert loads.verdict == "FAILED: one: 2 were lost"
    assert not loads.is_running


def test_service_that_cannot_create_its_fruits_leaves_the_others_without_any(tmp_path: Path) -> None:
    with running(Service()) as good, running(Service(create_at_most=1)) as bad:
        with pytest.raises(ServiceError, match=bad.url):
            Loads(
                {"good": [good.url], "bad": [bad.url]},
                fruits=2,
                percent_put=80,
                history=tmp_path / "history.jsonl",
            )
        assert good.change_counts == bad.change_counts == {}
