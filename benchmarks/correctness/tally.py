"""Changes of one fruit by many writers, and what became of them."""

import asyncio
import collections
import dataclasses
import time

import aiohttp

from tor_async_service.http.problems import OUTCOME_UNKNOWN


@dataclasses.dataclass
class Tally:
    """What became of the changes of one fruit."""

    acknowledged: int = 0
    given_up: int = 0
    unknown: int = 0
    failed: int = 0
    answers: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter, repr=False)
    slowest_s: float = 0.0
    took_s: float = 0.0
    change_count: int = 0
    cut: int = 0

    @property
    def doubled(self) -> int:
        """Changes that are in the database, and that nobody can have made."""
        return max(0, self.change_count - self.acknowledged - self.unknown)

    @property
    def lost(self) -> int:
        """Changes that were acknowledged, and are not in the database or share their number with another."""
        shared = sum(times - 1 for times in self.answers.values())
        return max(0, self.acknowledged - self.change_count, shared)


async def change_together(urls: list[str], writers: int, changes: int, timeout_s: float) -> Tally:
    """The tally of `writers` who each change one new fruit `changes` times, one after another."""
    tally = Tally()
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
        async with client.post(f"{urls[0]}/v1.0/fruits", json={"color": "red"}) as response:
            path = response.headers["Location"]
        for url in urls:
            async with client.get(url + path) as response:
                response.raise_for_status()
        started_s = time.monotonic()
        await asyncio.gather(
            *(_write(client, urls[i % len(urls)] + path, changes, tally) for i in range(writers))
        )
        tally.took_s = time.monotonic() - started_s
        async with client.get(urls[0] + path) as response:
            tally.change_count = (await response.json())["change_count"]
    return tally


async def _write(client: aiohttp.ClientSession, url: str, changes: int, tally: Tally) -> None:
    for _ in range(changes):
        started_s = time.monotonic()
        async with client.put(url, json={"color": "blue"}) as response:
            answer = await response.json(content_type=None)
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - started_s)
        if response.status == 200:
            tally.acknowledged += 1
            tally.answers[answer["change_count"]] += 1
        elif response.status == 409:
            tally.given_up += 1
        elif answer["type"] == OUTCOME_UNKNOWN:
            tally.unknown += 1
        else:
            tally.failed += 1
