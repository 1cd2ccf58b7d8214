"""CouchDB's bulk requests: one request, and a result of its own for each document that it names."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tor_async_couchdb.endpoint import Endpoint, quote_id
from tor_async_couchdb.errors import CouchDBError, NotFoundError, ResponseError, TransportError
from tor_async_couchdb.model import Document

# https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-docs
_STATUS_BY_ERROR = {"unauthorized": 401, "forbidden": 403, "conflict": 409}

# CouchDB refuses a whole batch so for what is wrong with one document, or with all of them together.
_SPLIT_ON = (400, 413)


class _Leaf(msgspec.Struct):
    ok: msgspec.Raw = msgspec.Raw(b"")


class _Found(msgspec.Struct):
    id: str
    docs: list[_Leaf]


class _FoundDocuments(msgspec.Struct):
    results: list[_Found]


class Written(msgspec.Struct):
    """What CouchDB says of one document that it was to write."""

    id: str
    rev: str | None = None
    error: str | None = None
    reason: Any = None


class _IdRow(msgspec.Struct):
    id: str
    key: Any


class _IdRows(msgspec.Struct):
    rows: list[_IdRow]


class BulkRequests:
    """The bulk requests of one database."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def fetch(self, document_ids: Sequence[str]) -> list[Document | CouchDBError]:
        """The winning revision of each document; NotFoundError where there is none, or a deleted one."""
        wanted = [{"id": document_id} for document_id in dict.fromkeys(document_ids)]
        body = msgspec.json.encode({"docs": wanted})
        response = await self._endpoint.request("bulk_get", "POST", "_bulk_get", body=body)
        answer = response.raise_for_status().decode(_FoundDocuments)
        leaves = {found.id: found.docs for found in answer.results}
        return [_winner(document_id, leaves.get(document_id, [])) for document_id in document_ids]

    async def fetch_leaves(self, document_id: str) -> list[Document]:
        """A document's leaf revisions, deleted ones included, with `_revisions`; [] if there are none."""
        body = msgspec.json.encode({"docs": [{"id": document_id}]})
        response = await self._endpoint.request(
            "fetch_leaves", "POST", "_bulk_get", {"revs": True}, body=body
        )
        answer = response.raise_for_status().decode(_FoundDocuments)
        return [msgspec.json.decode(leaf.ok) for found in answer.results for leaf in found.docs if leaf.ok]

    async def look_up(self, design_doc: str, keys: Sequence[str]) -> list[list[str] | CouchDBError]:
        """The ids of the documents that the view of this name has under each key, in order."""
        body = msgspec.json.encode({"keys": list(dict.fromkeys(keys))})
        path = f"_design/{quote_id(design_doc)}/_view/{quote_id(design_doc)}"
        response = await self._endpoint.request("look_up", "POST", path, {"reduce": False}, body=body)
        ids: dict[str, list[str]] = {key: [] for key in keys}
        for row in response.raise_for_status().decode(_IdRows).rows:
            # A key that is equal to one of ours by Unicode collation only is another.
            if isinstance(row.key, str) and row.key in ids:
                ids[row.key].append(row.id)
        return [sorted(ids[key]) for key in keys]

    async def write(self, documents: Sequence[bytes]) -> list[str | CouchDBError]:
        """The revision that each encoded document became; an error of its own where it became none."""
        body = b'{"docs":[' + b",".join(documents) + b"]}"
        try:
            response = await self._endpoint.request(
                "bulk_docs", "POST", "_bulk_docs", body=body, is_read=False
            )
            results = response.raise_for_status().decode(list[Written])
            if len(results) != len(documents):
                raise TransportError(f"{len(results)} results for {len(documents)} documents")
        except CouchDBError as error:
            is_splittable = isinstance(error, ResponseError) and error.status in _SPLIT_ON
            if len(documents) == 1 or not is_splittable:
                return [error] * len(documents)
            middle = len(documents) // 2
            return [*await self.write(documents[:middle]), *await self.write(documents[middle:])]
        return [written(result) for result in results]


def _winner(document_id: str, leaves: list[_Leaf]) -> Document | CouchDBError:
    """The leaf that CouchDB shows: of the live ones, that of the highest generation, then hash.

    The others are its `_conflicts`, as in all that CouchDB is asked for with `conflicts=true`.
    """
    documents: list[Document] = [msgspec.json.decode(leaf.ok) for leaf in leaves if leaf.ok]
    live = [document for document in documents if not document.get("_deleted")]
    if not live:
        reason = "deleted" if documents else "missing"
        return NotFoundError(404, "not_found", reason, method="POST", path=f"_bulk_get of {document_id!r}")
    if len(live) == 1:
        return live[0]
    winner, *others = sorted(live, key=_revision_order, reverse=True)
    return winner | {"_conflicts": [other["_rev"] for other in others]}


def _revision_order(document: Document) -> tuple[int, str]:
    generation, _, revision_hash = document["_rev"].partition("-")
    return int(generation), revision_hash


def written(result: Written) -> str | CouchDBError:
    """The revision that a document became, or why it became none."""
    if result.error is None:
        return result.rev or TransportError(f"the result for document {result.id!r} says nothing")
    # A refused revision from elsewhere has its `rev` beside the error.
    return ResponseError.for_status(
        _STATUS_BY_ERROR.get(result.error, 400),
        result.error,
        f"{result.reason} (document {result.id!r})",
        method="POST",
        path="_bulk_docs",
    )
