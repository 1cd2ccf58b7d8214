import signal
import time
from collections.abc import Callable

import pytest

from couch_named_python.errors import TimeLimitError
from couch_named_python.serve.time_limit import TimeLimit
from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess

pytestmark = pytest.mark.usefixtures("alarm_restored")

TIMEOUT_MS = 200


def given_up() -> None:
    raise AssertionError("given up")


def await_condition(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s


def test_work_is_interrupted_before_couchdb_loses_patience() -> None:
    limit = TimeLimit(given_up)
    limit.set_timeout(1000)
    began_s = time.monotonic()
    limit.begin()
    with pytest.raises(TimeLimitError):
        await_condition(lambda: False)
    limit.end()
    assert 0.59 < time.monotonic() - began_s < 1


def test_many_short_lines_are_never_interrupted() -> None:
    limit = TimeLimit(given_up)
    limit.set_timeout(TIMEOUT_MS)
    end_s = time.monotonic() + 3 * TIMEOUT_MS / 1000
    while time.monotonic() < end_s:
        limit.begin()
        limit.end()


def test_without_work_the_timer_stops_and_with_work_it_starts_again() -> None:
    limit = TimeLimit(given_up)
    limit.set_timeout(TIMEOUT_MS)
    for _ in range(2):
        limit.begin()
        assert signal.getitimer(signal.ITIMER_REAL)[1] > 0
        limit.end()
        await_condition(lambda: signal.getitimer(signal.ITIMER_REAL) == (0, 0))


def test_who_swallows_the_interruption_is_given_up() -> None:
    calls: list[float] = []
    limit = TimeLimit(lambda: calls.append(time.monotonic()))
    limit.set_timeout(TIMEOUT_MS)
    limit.begin()
    while not calls:
        with pytest.raises(TimeLimitError):
            await_condition(lambda: False)
    limit.end()


def test_a_function_that_never_returns_is_an_error_and_the_server_lives(server: QueryServerProcess) -> None:
    server.prompt("reset", {"timeout": TIMEOUT_MS})
    server.prompt("add_fun", f"{FUNCTIONS}.never_returns")
    assert server.prompt("map_doc", {"_id": "a", "loop": True})[:2] == ["error", "function_timeout"]
    assert server.prompt("map_doc", {"_id": "b"}) == [[[1, None]]]
    assert server.logs == []


def test_a_function_that_swallows_the_interruption_ends_the_server(server: QueryServerProcess) -> None:
    server.prompt("reset", {"timeout": TIMEOUT_MS})
    server.prompt("add_fun", f"{FUNCTIONS}.swallows_the_interruption")
    assert server.prompt("map_doc", {"_id": "a"})[:2] == ["fatal", "function_timeout"]
    assert server.exit_status() == 1


def test_waiting_for_a_row_is_no_work(server: QueryServerProcess) -> None:
    server.prompt("reset", {"timeout": TIMEOUT_MS})
    server.teach(lists={"it": f"{FUNCTIONS}.list_simple"})
    server.run(["lists", "it"], {}, {"q": "ok"})
    time.sleep(2 * TIMEOUT_MS / 1000)  # CouchDB takes its time; there is no condition to wait for
    assert server.prompt("list_row", {"key": "baz"}) == ["chunks", ["baz"]]
    assert server.prompt("list_end") == ["end", ["early"]]
