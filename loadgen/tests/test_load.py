"""A load from its first fruit to its summary."""

import pytest

from loadgen.answers import Answer, Outcome
from loadgen.fruits import ServiceError
from loadgen.load import Load
from loadgen.tests.fruit_service import Service, running
from loadgen.traffic import Request


def update(load: Load, change_count: int) -> Request:
    answer = Answer(Outcome.SUCCEEDED, conflicts=1, change_count=change_count)
    return Request("PUT", load.fruit_ids[0], 1, 1.0, 0.5, answer)


def read(load: Load, change_count: int) -> Request:
    answer = Answer(Outcome.SUCCEEDED, change_count=change_count)
    return Request("GET", load.fruit_ids[0], 1, 1.5, 0.25, answer)


def test_load_without_losses_is_well() -> None:
    with running(Service()) as service:
        load = Load(service.url, fruits=2, percent_put=80)
        service.change_counts[load.fruit_ids[0]] = 1
        load.record(update(load, 1))
        load.record(read(load, 1))
        summary = load.end()
        load.delete_fruits()
        assert service.change_counts == {}
    assert summary.problems == ()
    assert (summary.requests, summary.succeeded, summary.acknowledged, summary.in_database) == (2, 2, 1, 1)
    assert (summary.fruits, summary.percent_put, summary.p50_ms, summary.resolved) == (2, 80, 250.0, 1)


def test_lost_update_is_a_problem() -> None:
    with running(Service()) as service:
        load = Load(service.url, fruits=1, percent_put=100)
        load.record(update(load, 1))
        summary = load.end()
    assert summary.lost == 1
    assert summary.problems[0] == "1 acknowledged updates were lost"
    assert "1 updates acknowledged, only 0 in the database" in summary.problems[1]


def test_running_books_show_what_the_answers_prove_and_ask_nothing() -> None:
    with running(Service()) as service:
        load = Load(service.url, fruits=1, percent_put=100)
        reads = service.reads
        load.record(update(load, 2))  # the answer to the first update is still on its way
        load.record(read(load, 3))
        books = load.figures()
        assert (books.acknowledged, books.in_database, books.lost) == (1, 3, 0)
        load.record(update(load, 2))
        assert load.figures().lost == 1
        assert service.reads == reads
        service.change_counts[load.fruit_ids[0]] = 1
        summary = load.end()
    assert (summary.in_database, summary.lost) == (1, 2)
    assert load.figures() == summary


def test_load_in_which_nothing_succeeded_is_a_problem() -> None:
    with running(Service()) as service:
        load = Load(service.url, fruits=1, percent_put=100)
        summary = load.end()
    assert summary.problems == ("no request succeeded",)


def test_books_that_cannot_be_compared_are_a_problem() -> None:
    with running(Service()) as service:
        load = Load(service.url, fruits=1, percent_put=100)
        load.record(update(load, 1))
    summary = load.end(read_back_deadline_s=0.3)
    assert (summary.in_database, summary.lost, summary.acknowledged) == (None, None, 1)
    (problem,) = summary.problems
    assert problem.startswith("can't read fruit")


def test_load_that_cannot_start_leaves_nothing_open() -> None:
    with running(Service(create_at_most=0)) as service, pytest.raises(ServiceError):
        Load(service.url, fruits=1, percent_put=100)
