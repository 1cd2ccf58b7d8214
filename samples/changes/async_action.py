"""The interaction: watching fruits. What has changed is read once for all clients."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import msgspec

from tor_async_couchdb import Change, Database, SharedFeed
from tor_async_service.http.events import event, mark

from .model import FruitChange, fruit_changes


def fruit_feed(database: Database) -> SharedFeed[bytes]:
    """The changes of fruits as the text of events, which is made once for all clients."""
    return SharedFeed(_events_of, database=database)


def _events_of(changes: Sequence[Change]) -> bytes:
    return b"".join(event(msgspec.json.encode(_shown(change))) for change in fruit_changes(changes))


def _shown(change: FruitChange) -> dict[str, object]:
    fruit = None if change.fruit is None else change.fruit.representation()
    return {"document_id": change.document_id, "fruit": fruit}


@dataclass(frozen=True)
class AsyncFruitWatcher:
    """Watches fruits for one client."""

    feed: SharedFeed[bytes]
    since: str

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """The events after `since`, each batch with the id from which the client goes on after it."""
        async for batch in self.feed.batches(self.since):
            yield batch.content + mark(batch.seq)
