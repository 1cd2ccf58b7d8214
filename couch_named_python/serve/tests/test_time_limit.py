import contextlib
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from couch_named_python.errors import TimeLimitError
from couch_named_python.serve.pipe import Pipe
from couch_named_python.serve.rendering import ListResponse
from couch_named_python.serve.time_limit import TimeLimit
from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess

pytestmark = pytest.mark.usefixtures("alarm_restored")

TIMEOUT_MS = 200
LONG_TIMEOUT_MS = 3600 * 1000  # the timer itself never ticks; the tests do
TICKS_TO_INTERRUPTION = 7  # the first one sees the line, the sixth after it is 60 to 70 % of the timeout
TICKS_TO_THE_END = 9


def tick() -> None:
    signal.raise_signal(signal.SIGALRM)


def never() -> None:
    raise AssertionError("given up")


@pytest.fixture
def limit() -> TimeLimit:
    made = TimeLimit(never)
    made.set_timeout(LONG_TIMEOUT_MS)
    return made


def test_the_timer_ticks_ten_times_in_couchdbs_timeout(limit: TimeLimit) -> None:
    limit.set_timeout(50_000)
    limit.begin()
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 5
    limit.end()


def test_work_is_interrupted_at_60_to_70_percent_of_the_timeout(limit: TimeLimit) -> None:
    limit.begin()
    for _ in range(TICKS_TO_INTERRUPTION - 1):
        tick()
    with pytest.raises(TimeLimitError):
        tick()
    limit.end()


def test_many_lines_just_below_the_limit_are_never_interrupted(limit: TimeLimit) -> None:
    for _ in range(100):
        limit.begin()
        for _ in range(TICKS_TO_INTERRUPTION - 1):
            tick()
        limit.end()


def test_without_work_the_timer_stops_and_with_work_it_starts_again(limit: TimeLimit) -> None:
    for _ in range(2):
        limit.begin()
        tick()
        assert signal.getitimer(signal.ITIMER_REAL)[1] > 0
        limit.end()
        tick()
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_function_that_swallows_the_interruption_is_given_up_at_80_to_90_percent() -> None:
    calls: list[str] = []
    limit = TimeLimit(lambda: calls.append("given up"))
    limit.set_timeout(LONG_TIMEOUT_MS)
    limit.begin()
    for _ in range(TICKS_TO_THE_END - 1):
        with contextlib.suppress(TimeLimitError):
            tick()
    assert calls == []
    with pytest.raises(TimeLimitError):
        tick()
    assert calls == ["given up"]
    limit.end()


def test_waiting_for_a_row_is_no_work(limit: TimeLimit) -> None:
    def slow_rows() -> Iterator[bytes]:
        for _ in range(3 * TICKS_TO_THE_END):
            tick()
        yield b'["list_end"]'

    def write(_line: bytes) -> None:
        """Send nothing."""

    pipe = cast(Pipe, SimpleNamespace(lines=slow_rows(), write=write))
    limit.begin()
    assert ListResponse(pipe, limit).get_row() is None
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
