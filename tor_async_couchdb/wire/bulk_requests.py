"""CouchDB's bulk requests: one request for many documents, with a result for each."""

import contextlib
import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec
import yarl

from tor_async_couchdb.errors import (
    CouchDBError,
    DocumentRefusedError,
    InvalidDocumentError,
    NotFoundError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire import document_json
from tor_async_couchdb.wire.document_json import UnreadableDocumentError
from tor_async_couchdb.wire.endpoint import Endpoint, quote_id
from tor_async_couchdb.wire.json_parts import UNDECODABLE, elements, members
from tor_async_couchdb.wire.revision import generation_and_hash

Q = TypeVar("Q")
R = TypeVar("R")

# The statuses that CouchDB gives a single document for these errors; any other error is 500.
# https://docs.couchdb.org/en/stable/api/database/bulk-api.html
_STATUS_BY_ERROR = {
    "bad_request": 400,
    "doc_validation": 400,
    "illegal_docid": 400,
    "not_found": 404,
    "conflict": 409,
}

# What a validation function throws. If CouchDB refuses the user, it refuses the whole request.
# https://docs.couchdb.org/en/stable/ddocs/ddocs.html#validate-document-update-functions
_THROWN = ("forbidden", "unauthorized")

# CouchDB refuses a whole batch with these statuses, be it for one document or for its size.
_SPLIT_ON = (400, 413)

# Ids that need no quoting in a path, and fit into it.
_PLAIN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,1023}")


class _Error(msgspec.Struct):
    error: str
    reason: Any = None


class _Leaf(msgspec.Struct):
    ok: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None


class _Found(msgspec.Struct):
    id: str
    docs: list[_Leaf]


class _FoundDocuments(msgspec.Struct):
    results: list[_Found]


class Written(msgspec.Struct):
    """CouchDB's result for one document of a `_bulk_docs`."""

    id: str
    rev: str | None = None
    error: str | None = None
    reason: Any = None
    accepted: bool = False  # by fewer copies than were asked for: 202 for a single document


class _IdRow(msgspec.Struct):
    id: str
    key: Any


class _IdRows(msgspec.Struct):
    rows: list[_IdRow]


class BulkRequests:
    """The bulk requests of one database. Without a `node` a request may go to any.

    A batch that CouchDB refuses as a whole is split, so that a bad document fails alone.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def fetch(
        self, document_ids: Sequence[str], node: yarl.URL | None = None
    ) -> Sequence[Document | CouchDBError]:
        """The winning revision of each document; NotFoundError for one that is missing or deleted."""
        return await _split_if_refused(functools.partial(self._fetch, node), document_ids)

    async def fetch_leaves(
        self, document_ids: Sequence[str], node: yarl.URL | None = None, *, copies: int | None = None
    ) -> Sequence[list[Document] | CouchDBError]:
        """The leaf revisions of each document, tombstones included, with `_revisions`; [] if there are none.

        On a cluster CouchDB reads so many `copies`, by default a majority.
        """
        return await _split_if_refused(functools.partial(self._fetch_leaves, node, copies), document_ids)

    async def look_up(self, design_doc: str, keys: Sequence[str]) -> Sequence[list[str] | CouchDBError]:
        """The ids of the documents under each key in the view of this name, in order."""
        return await _split_if_refused(functools.partial(self._look_up, design_doc), keys)

    async def write(
        self, documents: Sequence[bytes], node: yarl.URL | None = None, *, copies: int | None = None
    ) -> Sequence[Written | CouchDBError]:
        """The result for each encoded document, or the error for it.

        On a cluster CouchDB waits for so many `copies`, by default for a majority.
        """
        return await _split_if_refused(functools.partial(self._write, node, copies), documents)

    async def _fetch(
        self, node: yarl.URL | None, document_ids: Sequence[str]
    ) -> list[Document | CouchDBError]:
        if len(document_ids) == 1 and _PLAIN_ID.fullmatch(document_ids[0]):
            return [await self._fetch_one(node, document_ids[0])]
        found = await self._bulk_get(node, document_ids)
        return [_winner(document_id, leaves) for document_id, leaves in zip(document_ids, found, strict=True)]

    async def _fetch_one(self, node: yarl.URL | None, document_id: str) -> Document:
        # A _bulk_get of a single document takes CouchDB a quarter longer.
        return await self._endpoint.get_document(document_id, {"conflicts": True}, node=node)

    async def _fetch_leaves(
        self, node: yarl.URL | None, copies: int | None, document_ids: Sequence[str]
    ) -> list[list[Document] | CouchDBError]:
        r = {} if copies is None else {"r": copies}
        found = await self._bulk_get(node, document_ids, revs=True, **r)
        return [
            _leaves(document_id, leaves, with_history=True)
            for document_id, leaves in zip(document_ids, found, strict=True)
        ]

    async def _bulk_get(
        self, node: yarl.URL | None, document_ids: Sequence[str], **options: int
    ) -> list[list[_Leaf]]:
        wanted = [{"id": document_id} for document_id in dict.fromkeys(document_ids)]
        body = document_json.encode({"docs": wanted})
        response = await self._endpoint.request(
            "POST /{db}/_bulk_get", "_bulk_get", options, body=body, node=node
        )
        leaves = {found.id: found.docs for found in response.decode(_FoundDocuments, _found_apart).results}
        return [leaves.get(document_id, []) for document_id in document_ids]

    async def _look_up(self, design_doc: str, keys: Sequence[str]) -> list[list[str] | CouchDBError]:
        ids: dict[str, list[str]] = {key: [] for key in keys}
        body = document_json.encode({"keys": [*ids]})
        path = f"_design/{quote_id(design_doc)}/_view/{quote_id(design_doc)}"
        response = await self._endpoint.request(
            "POST /{db}/_design/{ddoc}/_view/{view}", path, {"reduce": False}, body=body, may_be_slow=True
        )
        for row in response.decode(_IdRows, _id_rows_apart).rows:
            # In CouchDB's Unicode collation some different keys are equal.
            if isinstance(row.key, str) and row.key in ids:
                ids[row.key].append(row.id)
        return [sorted(ids[key]) for key in keys]

    async def _write(
        self, node: yarl.URL | None, copies: int | None, documents: Sequence[bytes]
    ) -> list[Written | CouchDBError]:
        w = b"" if copies is None else b'"w":%d,' % copies
        body = b"{" + w + b'"docs":[' + b",".join(documents) + b"]}"
        response = await self._endpoint.request(
            "POST /{db}/_bulk_docs",
            "_bulk_docs",
            body=body,
            is_read=False,
            node=node,
            batch_size=len(documents),
        )
        results = response.decode(list[Written])
        if len(results) != len(documents):
            raise TransportError(f"{len(results)} results for {len(documents)} documents")
        return [written(result) for result in results]


async def _split_if_refused(
    send: Callable[[Sequence[Q]], Awaitable[Sequence[R | CouchDBError]]], requests: Sequence[Q]
) -> Sequence[R | CouchDBError]:
    """The results of all requests; a batch that is refused as a whole is sent in halves."""
    try:
        return await send(requests)
    except CouchDBError as error:
        is_refused = isinstance(error, ResponseError) and error.status in _SPLIT_ON
        is_splittable = is_refused or isinstance(error, InvalidDocumentError)
        if len(requests) == 1 or not is_splittable:
            return [error] * len(requests)
    middle = len(requests) // 2
    return [
        *await _split_if_refused(send, requests[:middle]),
        *await _split_if_refused(send, requests[middle:]),
    ]


def _found_apart(text: bytes) -> _FoundDocuments:
    """Decodes all but the documents."""
    results = [members(result) for result in elements(members(text)["results"])]
    return _FoundDocuments([_found(result["id"], result["docs"]) for result in results])


def _found(document_id: bytes, docs: bytes) -> _Found:
    return _Found(msgspec.json.decode(document_id, type=str), [_leaf(leaf) for leaf in elements(docs)])


def _leaf(text: bytes) -> _Leaf:
    found = members(text)
    return _Leaf(msgspec.Raw(found["ok"])) if "ok" in found else msgspec.json.decode(text, type=_Leaf)


def _id_rows_apart(text: bytes) -> _IdRows:
    """Leaves out the rows that can't be decoded: their keys are no texts."""
    rows = []
    for row in elements(members(text)["rows"]):
        with contextlib.suppress(*UNDECODABLE):
            rows.append(msgspec.json.decode(row, type=_IdRow))
    return _IdRows(rows)


def _leaves(
    document_id: str, found: list[_Leaf], *, with_history: bool = False
) -> list[Document] | CouchDBError:
    """The leaf revisions of a document, or the error if CouchDB could not read them."""
    if not found:
        return TransportError(f"the answer leaves out document {document_id!r}")
    for leaf in found:
        if leaf.error is not None and leaf.error.error != "not_found":
            return _refused(document_id, leaf.error.error, leaf.error.reason, "_bulk_get")
    try:
        outcomes = document_json.stored_apart(
            (leaf.ok for leaf in found if leaf.ok), with_history=with_history
        )
    except (msgspec.ValidationError, ValueError) as error:
        return TransportError(f"for document {document_id!r} the answer is not what CouchDB answers: {error}")
    unreadable = (each for each in outcomes if isinstance(each, UnreadableDocumentError))
    return next(unreadable, None) or cast("list[Document]", outcomes)


def _winner(document_id: str, found: list[_Leaf]) -> Document | CouchDBError:
    """The live leaf with the highest generation, then hash, which is the one that CouchDB shows.

    `_conflicts` names the other live leaves, as in CouchDB's answers to `conflicts=true`.
    """
    documents = _leaves(document_id, found)
    if isinstance(documents, CouchDBError):
        is_unreadable = isinstance(documents, UnreadableDocumentError)
        return _readable_winner(document_id, found) if is_unreadable else documents
    if len(documents) == 1 and "_deleted" not in documents[0]:
        return documents[0]
    return _winner_of(document_id, documents)


def _readable_winner(document_id: str, found: list[_Leaf]) -> Document | CouchDBError:
    """The winner of leaves of which some can't be decoded: it may be one of the others."""
    outcomes = [document_json.decode_apart(leaf.ok) for leaf in found if leaf.ok]
    errors = {each.document["_rev"]: each for each in outcomes if isinstance(each, UnreadableDocumentError)}
    documents = [each.document if isinstance(each, UnreadableDocumentError) else each for each in outcomes]
    winner = _winner_of(document_id, documents)
    return winner if isinstance(winner, CouchDBError) else errors.get(winner["_rev"], winner)


def _winner_of(document_id: str, documents: list[Document]) -> Document | NotFoundError:
    live = [document for document in documents if not document.get("_deleted")]
    if not live:
        reason = "deleted" if documents else "missing"
        return NotFoundError(404, "not_found", reason, method="POST", path=f"_bulk_get of {document_id!r}")
    if len(live) == 1:
        return live[0]
    winner, *others = sorted(live, key=lambda leaf: generation_and_hash(leaf["_rev"]), reverse=True)
    return winner | {"_conflicts": [other["_rev"] for other in others]}


def written(result: Written) -> Written | CouchDBError:
    """The result for a document, or the error for it."""
    if result.error is None:
        return result if result.rev else TransportError(f"the result for document {result.id!r} says nothing")
    # With new_edits=false a refused document has its `rev` beside the error.
    if result.error in _THROWN:
        return DocumentRefusedError(result.error, str(result.reason), document_id=result.id)
    return _refused(result.id, result.error, result.reason, "_bulk_docs")


def _refused(document_id: str, error: str, reason: Any, path: str) -> ResponseError:
    status = _STATUS_BY_ERROR.get(error, 500)
    where = f"{reason} (document {document_id!r})"
    return ResponseError.for_status(status, error, where, method="POST", path=path)
