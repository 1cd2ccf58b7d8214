"""What a run under load looks like, for the panels of the page."""

import time

from tor_async_service.events import Event
from watch.tests.fake_run import CRUD, FakeRun

_PATH = "/v1.0/fruits/0123456789abcdef0123456789abcdef"

# The steps of one request in each sample: (what, duration in ms, attempt).
_STEPS: dict[str, list[tuple[str, float, int]]] = {
    "crud/basic": [("read", 12, 1), ("conflict", 20, 1)],
    "crud/retry": [
        ("read", 10, 1),
        ("conflict", 15, 1),
        ("wait", 0, 1),
        ("read", 10, 2),
        ("conflict", 15, 2),
        ("wait", 0, 2),
        ("read", 10, 3),
        ("write", 15, 3),
    ],
    "crud/exp_backoff": [
        ("read", 10, 1),
        ("conflict", 15, 1),
        ("wait", 60, 1),
        ("read", 10, 2),
        ("write", 15, 2),
    ],
    "crud/group_commit": [("read", 5, 1), ("write", 14, 1)],
    "crud/conditional": [("read", 18, 1)],
    "crud/idempotent": [("read", 11, 1)],
    "crud/append_only": [("write", 21, 1)],
    "crud/migration": [
        ("read", 8, 1),
        ("conflict", 12, 1),
        ("wait", 30, 1),
        ("read", 8, 2),
        ("conflict", 12, 2),
        ("wait", 10, 2),
        ("read", 8, 3),
        ("write", 12, 3),
    ],
}
_REFUSALS = {"crud/basic": 409, "crud/conditional": 412}


def put_load(run: FakeRun) -> None:
    """Counts requests in each sample of the ladder, and opens the books."""
    run.services["crud/basic"].answer(200, count=30)
    run.services["crud/basic"].answer(409, count=20, conflicts=1)
    run.services["crud/retry"].answer(200, count=40, conflicts=3)
    run.services["crud/exp_backoff"].answer(200, count=35, conflicts=1, duration_s=0.2)
    run.services["crud/group_commit"].answer(200, count=60)
    run.services["crud/conditional"].answer(200, count=30)
    run.services["crud/conditional"].answer(412, count=20, conflicts=1)
    for sample in ("crud/idempotent", "crud/append_only", "crud/migration"):
        run.services[sample].answer(200, count=25)
    run.books = {
        sample: {"acknowledged": 100 + i, "in_database": 100 + i, "lost": 0, "unknown": 0}
        for i, sample in enumerate(CRUD)
    }


def send_requests(run: FakeRun, first: int, count: int = 4) -> None:
    """Streams the events of some requests in each sample; `first` is the number of the first one."""
    for sample in CRUD:
        events: list[Event] = []
        for number in range(first, first + count):
            events += _events_of(sample, number, time.time())
        run.emit(sample, events)


def _events_of(sample: str, number: int, begin_s: float) -> list[Event]:
    events = [Event(number, begin_s, "begin", method="PUT", path=_PATH)]
    at_s = begin_s
    for what, duration_ms, attempt in _STEPS[sample]:
        duration_s = duration_ms / 1000
        is_wait = what == "wait"
        reported_at_s = at_s if is_wait else at_s + duration_s
        events.append(Event(number, reported_at_s, what, attempt, duration_s=duration_s))  # type: ignore[arg-type]  # one of the known steps
        at_s += duration_s
    status = _REFUSALS.get(sample, 200)
    attempt = _STEPS[sample][-1][2]
    return [*events, Event(number, at_s, "end", attempt, status=status, duration_s=at_s - begin_s)]
