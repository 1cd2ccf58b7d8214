"""The interaction: telling a receiver of each document that changes, and writing down what it refuses."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec
from prometheus_client import Counter

from tor_async_couchdb import AsyncPersister, Change, ConflictError, Database, full_jitter

from .model import DeadLetter, Notice

_logger = logging.getLogger(__name__)
MAX_TRIES = 5
_CONCURRENCY = 8
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_PAUSE = full_jitter(base_s=0.1, cap_s=10.0)
# The receiver, or the gateway in front of it, is down. That says nothing about the notice.
_DOWN = (429, 502, 503, 504)


def _notices() -> Counter:
    return Counter("outbox_notices", "Notices, by what became of them.", ["outcome"], registry=None)


@dataclass(frozen=True)
class AsyncNoticeSender:
    """Sends notices to a webhook."""

    webhook: str
    database: Database
    notices: Counter = field(default_factory=_notices)

    async def send_all(self, changes: Sequence[Change]) -> None:
        """Returns when the receiver has accepted each notice, or its dead letter is written."""
        free = asyncio.Semaphore(_CONCURRENCY)
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, asyncio.TaskGroup() as group:
            for change in changes:
                if change.error is None:
                    group.create_task(self._send(Notice.of(change), session, free))
                else:  # a receiver would take what can be read for all of it
                    group.create_task(self._give_up(Notice.of(change), str(change.error), tries=0))

    async def _send(self, notice: Notice, session: aiohttp.ClientSession, free: asyncio.Semaphore) -> None:
        tries = failures = 0
        async with free:
            while True:
                status, answer = await self._post(notice, session)
                if 200 <= status < 300:
                    self.notices.labels("accepted").inc()
                    return
                failures += 1
                tries += status not in _DOWN
                if tries == MAX_TRIES:
                    await self._give_up(notice, answer, tries)
                    return
                await asyncio.sleep(_PAUSE(failures, 0.0))

    async def _post(self, notice: Notice, session: aiohttp.ClientSession) -> tuple[int, str]:
        body, headers = msgspec.json.encode(notice), {"Content-Type": "application/json"}
        try:
            async with session.post(
                self.webhook, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, f"{answer.status} {answer.reason}"
        except (aiohttp.ClientError, TimeoutError) as error:
            _logger.warning("the receiver can't be reached: %s", error or "timeout")
            return 503, str(error)

    async def _give_up(self, notice: Notice, answer: str, tries: int) -> None:
        _logger.error("gave up on document %r after %d tries: %s", notice.document_id, tries, answer)
        letter = DeadLetter.create(notice, answer, tries)
        try:
            await AsyncPersister(letter, database=self.database).persist()
        except ConflictError:
            _logger.info("document %r has its dead letter already", notice.document_id)
        self.notices.labels("dead").inc()
