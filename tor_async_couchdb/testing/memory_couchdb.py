"""A CouchDB in memory, behind the transport of a `Database`, for tests of thousands of interleavings."""

import asyncio
import collections
import hashlib
import itertools
import json
import random
from typing import Any
from urllib.parse import unquote

import yarl

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.wire.transport import ConnectionBrokeError, Response, Transport


class MemoryCouchDB:
    """Documents with a history but no branches; a view of the property `key`; requests of bounded size.

    `max_body_size` is in bytes. `requests` counts requests by path, and `applied_at` has the moment of
    `clock` at which each revision was written.
    """

    def __init__(self, *, max_body_size: int = 10**9) -> None:
        self.histories: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        self.requests: collections.Counter[str] = collections.Counter()
        self.clock = itertools.count()
        self.applied_at: dict[str, int] = {}  # by revision
        self._max_body_size = max_body_size
        self._ids = (f"{number:032x}" for number in itertools.count())

    def current(self, document_id: str) -> dict[str, Any] | None:
        """The document as it is now; None if it is missing or deleted."""
        history = self.histories[document_id]
        return history[-1] if history and not history[-1].get("_deleted") else None

    def handle(self, path: str, url: yarl.URL, body: bytes) -> tuple[int, Any]:
        """The status and the JSON that answer a request; `path` is relative to the database."""
        self.requests[path] += 1
        if len(body) > self._max_body_size:
            return 413, {"error": "too_large", "reason": "the request entity is too large"}
        request = json.loads(body) if body else {}
        if path == "":
            return 200, {"db_name": "db", "cluster": {"n": 1}}
        if path == "_uuids":
            return 200, {"uuids": [next(self._ids) for _ in range(int(url.query["count"]))]}
        if path == "_bulk_get":
            return 200, {"results": [self._get(each["id"], "revs" in url.query) for each in request["docs"]]}
        if path == "_bulk_docs":
            if any(name.startswith("_bad") for document in request["docs"] for name in document):
                return 400, {"error": "doc_validation", "reason": "Bad special document member: _bad"}
            return 201, [self.put(document) for document in request["docs"]]
        if path.startswith("_design/"):
            return 200, {"rows": self._rows(request["keys"])}
        history = self.histories[unquote(path)]
        if "rev" in url.query:
            return 200, next(document for document in history if document["_rev"] == url.query["rev"])
        current = self.current(unquote(path))
        if current is None:
            return 404, {"error": "not_found", "reason": "deleted" if history else "missing"}
        return 200, current

    def put(self, document: dict[str, Any]) -> dict[str, Any]:
        """Writes a document; returns its row of a `_bulk_docs` answer."""
        document_id = document["_id"]
        history, current = self.histories[document_id], self.current(document_id)
        if document.get("_rev") != (current and current["_rev"]):
            return {"id": document_id, "error": "conflict", "reason": "Document update conflict."}
        text = json.dumps([document, next(self.clock)], sort_keys=True).encode()
        rev = f"{len(history) + 1}-{hashlib.md5(text, usedforsecurity=False).hexdigest()}"
        history.append(document | {"_rev": rev})
        self.applied_at[rev] = next(self.clock)
        return {"id": document_id, "ok": True, "rev": rev}

    def _get(self, document_id: str, with_revisions: bool) -> dict[str, Any]:
        history = self.histories[document_id]
        if not history:
            error = {"id": document_id, "rev": "undefined", "error": "not_found", "reason": "missing"}
            return {"id": document_id, "docs": [{"error": error}]}
        leaf = history[-1]
        if with_revisions:
            hashes = [document["_rev"].partition("-")[2] for document in reversed(history)]
            leaf = leaf | {"_revisions": {"start": len(history), "ids": hashes}}
        return {"id": document_id, "docs": [{"ok": leaf}]}

    def _rows(self, keys: list[str]) -> list[dict[str, Any]]:
        rows = []
        for document_id in self.histories:
            document = self.current(document_id)
            if document is not None and document.get("key") in keys:
                rows.append({"id": document_id, "key": document["key"], "value": None})
        return rows


class MemoryTransport(Transport):
    """Carries requests to a MemoryCouchDB and its answers back, each after a random number of task switches.

    With a probability of `trouble` the connection breaks, either before the request or before the answer
    arrives. `dice` make all random choices.
    """

    def __init__(self, couchdb: MemoryCouchDB, dice: random.Random, trouble: float) -> None:
        super().__init__(
            validate_cert=True,
            timeout_s=60,
            observer=Observer(),
            retry_budget=RetryBudget(),
            sleep=lambda seconds: self._travel(),
        )
        self._couchdb = couchdb
        self._dice = dice
        self.trouble = trouble

    async def _travel(self) -> None:
        for _ in range(self._dice.randrange(6)):
            await asyncio.sleep(0)

    async def exchange(self, method: str, url: yarl.URL, body: bytes | None, deadline_s: float) -> Response:
        """See `Transport.exchange`."""
        await self._travel()
        if self._dice.random() < self.trouble / 2:
            raise ConnectionBrokeError("the connection broke before the request arrived")
        path = url.raw_path.removeprefix("/db").lstrip("/")
        status, answer = self._couchdb.handle(path, url, body or b"")
        await self._travel()
        if self._dice.random() < self.trouble / 2:
            raise ConnectionBrokeError("the connection broke before the answer arrived")
        return Response(status, json.dumps(answer).encode(), method, url.raw_path)


def memory_database(couchdb: MemoryCouchDB, *, seed: int = 0, trouble: float = 0.0) -> Database:
    """A database on the CouchDB in memory. It needs no closing."""
    dice = random.Random(seed)  # noqa: S311 - a simulation
    return Database("http://127.0.0.1:1/db", transport=MemoryTransport(couchdb, dice, trouble))
