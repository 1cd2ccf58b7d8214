import asyncio

import pytest

from tor_async_service.events import Event, EventLog
from tor_async_service.listeners import TooManyListenersError


def an_event(number: int) -> Event:
    return Event(number, 0.0, "begin")


def test_while_nobody_listens_no_request_is_followed() -> None:
    log = EventLog()
    assert log.next_request() is None
    with log.listening():
        assert log.next_request() == 1
    assert log.next_request() is None


def test_at_most_so_many_requests_a_second_are_followed() -> None:
    now_s = 0.0
    log = EventLog(max_requests_per_s=2.0, now=lambda: now_s)
    with log.listening():
        assert [log.next_request() for _ in range(4)] == [1, 2, None, None]
        now_s = 0.5
        assert [log.next_request() for _ in range(2)] == [3, None]


async def test_listener_takes_all_events_that_wait() -> None:
    log = EventLog()
    with log.listening() as listener:
        taking = asyncio.create_task(listener.take())
        await asyncio.sleep(0)
        log.add(an_event(1))
        log.add(an_event(2))
        assert [event.request for event in await taking] == [1, 2]


async def test_a_slow_listener_loses_the_oldest_events_and_their_count_is_kept() -> None:
    log = EventLog(max_events=2)
    with log.listening() as listener:
        for number in range(5):
            log.add(an_event(number))
        assert [event.request for event in await listener.take()] == [3, 4]
        assert listener.dropped_count == 3


def test_too_many_listeners_are_refused() -> None:
    log = EventLog(max_listeners=1)
    with log.listening(), pytest.raises(TooManyListenersError), log.listening():
        pass
    with log.listening():
        assert log.listener_count == 1
