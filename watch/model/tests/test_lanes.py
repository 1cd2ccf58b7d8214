from typing import Any

from watch.model.lanes import Lane


def begin(lane: Lane, request: int, at_s: float, path: str = "/v1.0/fruits/a", method: str = "PUT") -> None:
    lane.add("s", {"request": request, "at_s": at_s, "what": "begin", "method": method, "path": path})


def step(lane: Lane, request: int, at_s: float, what: str, **members: Any) -> None:
    lane.add("s", {"request": request, "at_s": at_s, "what": what, **members})


def test_a_bar_has_the_steps_of_its_request_in_milliseconds() -> None:
    lane = Lane()
    begin(lane, 1, 100.0)
    step(lane, 1, 100.010, "read", duration_s=0.008)
    step(lane, 1, 100.030, "conflict", duration_s=0.020)
    step(lane, 1, 100.030, "wait", duration_s=0.050)
    step(lane, 1, 100.090, "read", duration_s=0.010, attempt=2)
    step(lane, 1, 100.100, "write", duration_s=0.010, attempt=2)
    step(lane, 1, 100.101, "end", status=200)
    (bar,) = lane.take()
    assert (bar["ms"], bar["status"]) == (101.0, 200)
    assert bar["steps"] == [
        ["read", 2.0, 8.0, 1],
        ["conflict", 10.0, 20.0, 1],
        ["wait", 30.0, 50.0, 1],
        ["read", 80.0, 10.0, 2],
        ["write", 90.0, 10.0, 2],
    ]
    assert lane.take() == []


def test_a_read_that_was_shared_with_earlier_requests_begins_with_this_one() -> None:
    lane = Lane()
    begin(lane, 1, 100.0)
    step(lane, 1, 100.010, "read", duration_s=0.5)
    (bar,) = lane.take()
    assert bar["steps"] == [["read", 0.0, 10.0, 1]]
    assert bar["ms"] is None


def test_only_changes_of_one_fruit_are_shown() -> None:
    lane = Lane()
    begin(lane, 1, 100.0)
    begin(lane, 2, 100.1, path="/v1.0/fruits/b")
    begin(lane, 3, 100.2, method="GET")
    assert [bar["key"] for bar in lane.take()] == ["s#1"]


def test_another_fruit_follows_when_nobody_changes_this_one_any_more() -> None:
    lane = Lane()
    begin(lane, 1, 100.0)
    begin(lane, 2, 110.0, path="/v1.0/fruits/b")
    assert lane.path == "/v1.0/fruits/b"


def test_a_few_requests_a_second_are_shown_and_all_others_dropped() -> None:
    lane = Lane()
    for number in range(100):
        begin(lane, number, 100.0 + number / 100)
    assert 4 <= len(lane.take()) <= 8


def test_requests_whose_end_was_lost_are_forgotten() -> None:
    lane = Lane()
    for number in range(2000):
        begin(lane, number, 100.0 + number)
    assert len(lane._open) < 100


def test_an_event_of_an_unknown_request_is_ignored() -> None:
    lane = Lane()
    step(lane, 7, 100.0, "end", status=200)
    assert lane.take() == []
