from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tor_async_etcd import Error, NotSentError, OutcomeUnknownError
from tor_async_etcd.wire.coalescing import MAX_BYTES, MAX_KEYS, MAX_UNDER_WAY, Coalescer, Item


class Sender:
    """Answers when it's told to, and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.timeouts_s: list[float] = []
        self.go = asyncio.Event()
        self.errors: dict[int, Exception] = {}

    async def __call__(self, items: Sequence[Item], timeout_s: float) -> list[bytes]:
        self.sent.append([item.key for item in items])
        self.timeouts_s.append(timeout_s)
        error = self.errors.get(len(items))
        await self.go.wait()
        if error is not None:
            raise error
        return [b"result of " + item.key for item in items]


async def start(coalescer: Coalescer[bytes], items: list[Item]) -> list[asyncio.Task[bytes]]:
    tasks = [asyncio.create_task(coalescer.do(item, 60.0)) for item in items]
    await asyncio.sleep(0)
    return tasks


def coalescing(sender: Sender, *, distinct: bool = False) -> Coalescer[bytes]:
    return Coalescer(sender, distinct=distinct, lost_error=OutcomeUnknownError)


def numbered(count: int) -> list[Item]:
    return [Item(b"%d" % number) for number in range(count)]


async def test_few_leave_at_once_and_the_rest_together() -> None:
    sender = Sender()
    tasks = await start(coalescing(sender, distinct=False), numbered(10))
    assert sender.sent == [[b"0"], [b"1"], [b"2"], [b"3"]]
    sender.go.set()
    assert await asyncio.gather(*tasks) == [b"result of %d" % number for number in range(10)]
    assert sender.sent[4:] == [[b"4", b"5", b"6", b"7", b"8", b"9"]]


async def test_request_holds_no_more_than_etcd_takes() -> None:
    sender = Sender()
    large = [Item(b"large%d" % number, b"x" * (MAX_BYTES // 2)) for number in range(3)]
    tasks = await start(coalescing(sender, distinct=True), [*numbered(MAX_UNDER_WAY + MAX_KEYS + 1), *large])
    sender.go.set()
    await asyncio.gather(*tasks)
    assert max(len(keys) for keys in sender.sent) == MAX_KEYS
    assert all(sum(key.startswith(b"large") for key in keys) <= 2 for keys in sender.sent)
    assert sum(len(keys) for keys in sender.sent) == MAX_UNDER_WAY + MAX_KEYS + 4


@pytest.mark.parametrize(("distinct", "requests"), [(True, 3), (False, 1)])
async def test_key_is_set_once_in_a_request(distinct: bool, requests: int) -> None:
    sender = Sender()
    tasks = await start(coalescing(sender, distinct=distinct), [*numbered(4), *[Item(b"same")] * 3])
    sender.go.set()
    await asyncio.gather(*tasks)
    assert len(sender.sent) == 4 + requests


async def test_whoever_gives_up_takes_only_itself_out() -> None:
    sender = Sender()
    tasks = await start(coalescing(sender, distinct=False), numbered(8))
    tasks[0].cancel()
    tasks[5].cancel()
    await asyncio.wait([tasks[0], tasks[5]])
    sender.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results].count(True) == 2
    assert sorted(key for keys in sender.sent[4:] for key in keys) == [b"4", b"6", b"7"]


async def test_refused_request_is_asked_for_one_by_one() -> None:
    sender = Sender()
    sender.errors[3] = Error(3, "one of them is bad")
    tasks = await start(coalescing(sender, distinct=False), numbered(7))
    sender.go.set()
    assert await asyncio.gather(*tasks) == [b"result of %d" % number for number in range(7)]


async def test_lost_answer_is_told_to_all_and_not_sent_again() -> None:
    sender = Sender()
    sender.errors[3] = OutcomeUnknownError("no answer")
    tasks = await start(coalescing(sender, distinct=False), numbered(7))
    sender.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results[4:]] == [OutcomeUnknownError] * 3
    assert len(sender.sent) == 5


async def test_item_that_did_not_leave_in_time_is_not_sent() -> None:
    sender = Sender()
    coalescer = coalescing(sender)
    under_way = await start(coalescer, numbered(MAX_UNDER_WAY))
    with pytest.raises(NotSentError, match=r"within 0.01 s"):
        await coalescer.do(Item(b"late"), 0.01)
    sender.go.set()
    await asyncio.gather(*under_way)
    assert [b"late"] not in sender.sent


async def test_item_that_has_left_and_has_no_result_in_time_may_have_been_applied() -> None:
    sender = Sender()
    coalescer = coalescing(sender)
    under_way = await start(coalescer, numbered(MAX_UNDER_WAY))
    late = asyncio.create_task(coalescer.do(Item(b"late"), 0.05))
    await asyncio.sleep(0)
    under_way[0].cancel()  # lets the next request leave, which is not answered
    with pytest.raises(OutcomeUnknownError, match=r"within 0.05 s"):
        await late
    assert [b"late"] in sender.sent
    sender.go.set()
    await asyncio.wait(under_way)


async def test_batch_lasts_as_long_as_the_caller_that_waits_longest() -> None:
    sender = Sender()
    coalescer = coalescing(sender)
    under_way = await start(coalescer, numbered(MAX_UNDER_WAY))
    waiting = [asyncio.create_task(coalescer.do(Item(b"w"), timeout_s)) for timeout_s in (20.0, 50.0, 30.0)]
    await asyncio.sleep(0)
    sender.go.set()
    await asyncio.gather(*under_way, *waiting)
    assert 40 < sender.timeouts_s[-1] <= 50
