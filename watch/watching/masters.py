"""Two masters: their change feeds, the link between them, and the revision tree of one document."""

import asyncio
import contextlib
import time
from typing import Any

from tor_async_couchdb import Database, Document
from watch.model.revisions import Comparison, trees
from watch.watching.rounds import EXPECTED
from watch.watching.world import World

_FEED_LIMIT = 500
_FEED_TIMEOUT_S = 5.0
_RETRY_AFTER_S = 0.5
# A tree is shown for at least this long, so that one can look at it.
_STAY_S = 6.0


class MastersWatcher:
    """Compares both databases of the sample with several masters, and sets the part "masters"."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._comparison: Comparison | None = None
        self._urls: dict[str, str] = {}
        self._databases: dict[str, Database] = {}
        self._feeds: list[asyncio.Task[None]] = []
        self._document_id: str | None = None
        self._chosen_at_s = 0.0

    async def look(self) -> None:
        """One comparison, and the tree of one document on either side."""
        masters = self._world.get("_masters")
        if not masters or len(masters.get("databases", {})) != 2:
            self._world.set("masters", None)
            return
        if masters["databases"] != self._urls or any(feed.done() for feed in self._feeds):
            await self._connect(masters["databases"])
        comparison = self._comparison
        if comparison is None:
            return
        comparison.linked(masters.get("link", "up"), time.time())
        self._world.set(
            "masters", comparison.as_json() | {"names": comparison.names, "document": await self._document()}
        )

    async def rest(self) -> None:
        """Closes the feeds."""
        for feed in self._feeds:
            feed.cancel()
        await asyncio.gather(*self._feeds, return_exceptions=True)
        for database in self._databases.values():
            await database.close()
        self._feeds, self._databases, self._urls, self._comparison = [], {}, {}, None

    async def _connect(self, urls: dict[str, str]) -> None:
        await self.rest()
        server = self._world.get("_database") or {}
        self._urls = urls
        self._databases = {
            name: Database(url, username=server.get("username"), password=server.get("password"))
            for name, url in urls.items()
        }
        one, other = urls
        comparison = self._comparison = Comparison((one, other))
        self._feeds = [
            asyncio.create_task(self._follow(name, database, comparison))
            for name, database in self._databases.items()
        ]

    async def _follow(self, name: str, database: Database, comparison: Comparison) -> None:
        since: str | int = 0
        while True:
            try:
                changes = await database.revisions.changes(
                    since, limit=_FEED_LIMIT, timeout_s=_FEED_TIMEOUT_S
                )
            except EXPECTED:
                await asyncio.sleep(_RETRY_AFTER_S)
                continue
            since = changes.last_seq
            for change in changes.results:
                if change.id.startswith("_design/"):
                    continue
                leaves = frozenset(leaf.rev for leaf in change.changes)
                comparison.changed(name, change.id, leaves, time.time())
                self._consider(change.id, is_in_conflict="_conflicts" in (change.doc or {}))

    def _consider(self, document_id: str, *, is_in_conflict: bool) -> None:
        """Shows a document in conflict rather than another one, and each for a while."""
        now_s = time.time()
        stay_s = 0.5 * _STAY_S if is_in_conflict else _STAY_S
        if document_id != self._document_id and now_s - self._chosen_at_s > stay_s:
            self._document_id = document_id
        if document_id == self._document_id:
            self._chosen_at_s = now_s if is_in_conflict else max(self._chosen_at_s, now_s - 0.8 * _STAY_S)

    async def _document(self) -> dict[str, Any] | None:
        document_id = self._document_id
        if document_id is None:
            return None
        leaves: dict[str, list[Document]] = {}
        for name, database in self._databases.items():
            leaves[name] = []
            with contextlib.suppress(*EXPECTED):
                leaves[name] = await database.fetch_leaves(document_id)
        return {
            "id": document_id,
            "trees": trees(leaves),
            "is_equal": len({frozenset(leaf["_rev"] for leaf in each) for each in leaves.values()}) == 1,
        }
