import pytest

from watch.model.leadership import Leadership


@pytest.fixture
def leadership() -> Leadership:
    leadership = Leadership()
    leadership.seen(10.0, "a", 7, 1)
    leadership.seen(10.2, "a", 7, 2)
    return leadership


def test_who_makes_the_counter_grow_leads(leadership: Leadership) -> None:
    shown = leadership.as_json(10.5)
    assert (shown["leader"], shown["term"], shown["since_s"], shown["leaderless_s"]) == ("a", 7, 10.0, None)


def test_a_leader_whose_counter_stands_still_does_not_lead(leadership: Leadership) -> None:
    leadership.seen(12.0, "a", 7, 2)  # its key lives until its lease ends
    shown = leadership.as_json(13.2)
    assert shown["leader"] is None
    assert shown["leaderless_s"] == pytest.approx(3.0)


def test_a_change_takes_from_the_last_count_to_the_first_of_the_next_term(leadership: Leadership) -> None:
    leadership.seen(15.2, "b", 9, 3)
    shown = leadership.as_json(15.3)
    assert (shown["leader"], shown["term"], shown["since_s"]) == ("b", 9, 15.2)
    assert shown["handover_s"] == pytest.approx(5.0)


def test_before_anything_was_seen_nobody_leads() -> None:
    shown = Leadership().as_json(10.0)
    assert (shown["leader"], shown["handover_s"], shown["leaderless_s"]) == (None, None, None)
