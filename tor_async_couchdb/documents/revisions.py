"""What a replicator and the reconciler need: leaf revisions, the changes feed, revisions of other servers."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import yarl

from tor_async_couchdb.errors import CouchDBError, InvalidDocumentError, NotFoundError
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire import document_json
from tor_async_couchdb.wire.bulk_requests import Written, written
from tor_async_couchdb.wire.document_json import UnreadableDocumentError
from tor_async_couchdb.wire.endpoint import Endpoint, quote_id
from tor_async_couchdb.wire.json_parts import elements, members
from tor_async_couchdb.wire.revision import Rev


class _Leaf(msgspec.Struct, frozen=True):
    rev: Rev


_Leaves = Annotated[list[_Leaf], msgspec.Meta(min_length=1)]


class Change(msgspec.Struct, frozen=True):
    """A document that has changed, as it is now; `changes` are all its leaves, tombstones included."""

    id: str
    changes: _Leaves
    doc: Document | None = None
    deleted: bool = False

    @property
    def rev(self) -> str:
        """The winning revision."""
        return self.changes[0].rev if self.doc is None else str(self.doc["_rev"])

    @property
    def error(self) -> InvalidDocumentError | None:
        """Why `doc` is not whole; None if it is."""
        return None


class UnreadableChange(Change, frozen=True):
    """A change of a document that can't be decoded: `doc` has only those of its members that can be."""

    reason: str = ""

    @property
    def error(self) -> InvalidDocumentError:
        """Why `doc` is not whole."""
        return InvalidDocumentError(self.reason, document_id=self.id)


class Changes(msgspec.Struct, frozen=True):
    """Changes in their order, and the sequence after which the next ones follow.

    `pending` is about how many more there are; None if CouchDB does not say.
    """

    results: list[Change]
    last_seq: str | int
    pending: int | None = 0


class _Information(msgspec.Struct, frozen=True):
    update_seq: str | int


def _changes_apart(text: bytes) -> Changes:
    found = members(text)
    results = [_change(result) for result in elements(found["results"])]
    pending = msgspec.json.decode(found.get("pending", b"0"), type=int | None)
    return Changes(results, msgspec.json.decode(found["last_seq"], type=str | int), pending)


def _change(text: bytes) -> Change:
    parts = members(text)
    doc = document_json.decode_apart(parts.pop("doc", b"null"))
    document_id = msgspec.json.decode(parts["id"], type=str)
    leaves = msgspec.json.decode(parts["changes"], type=_Leaves)
    is_deleted = parts.get("deleted", b"").strip() == b"true"
    if not isinstance(doc, UnreadableDocumentError):
        return Change(document_id, leaves, doc, is_deleted)
    return UnreadableChange(document_id, leaves, doc.document, is_deleted, doc.reason)


class Revisions:
    """The revisions of one database: `Database.revisions`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def fetch_live_leaves(self, document_id: str) -> list[Document]:
        """The live leaf revisions of a document, the winner first; [] if there are none.

        Tombstones are left out: a document keeps one for each conflict that it ever had.
        """
        path, node = quote_id(document_id), self._node_of(document_id)
        winner = await self._get_or_none(path, node, {"conflicts": True})
        if winner is None:
            return []
        others = winner.pop("_conflicts", [])
        leaves = [await self._endpoint.get_document(path, {"rev": rev}, node=node) for rev in others]
        return [winner, *leaves]

    async def fetch_attachments(self, document_id: str, rev: str) -> dict[str, str]:
        """The contents of a revision's attachments by name, as base64 text."""
        options = {"rev": rev, "attachments": True}
        document = await self._endpoint.get_document(
            quote_id(document_id), options, node=self._node_of(document_id), may_be_slow=True
        )
        return {name: attachment["data"] for name, attachment in document.get("_attachments", {}).items()}

    async def insert(self, revisions: Sequence[Document], *, copies: int | None = None) -> None:
        """Inserts revisions into their documents' trees as they are, as a replicator does.

        Each has `_revisions` with its own name and its parent's. To insert a revision again changes nothing.
        https://docs.couchdb.org/en/stable/replication/protocol.html#upload-batch-of-changed-documents

        On a cluster CouchDB waits for so many `copies`, by default for a majority.

        Raises:
            ResponseError: CouchDB refuses one of them; others may have been inserted.
        """
        encoded = b",".join(document_json.encode(revision) for revision in revisions)
        w = b"" if copies is None else b'"w":%d,' % copies
        body = b'{"new_edits":false,' + w + b'"docs":[' + encoded + b"]}"
        response = await self._endpoint.request(
            "POST /{db}/_bulk_docs",
            "_bulk_docs",
            body=body,
            is_read=False,
            node=self._node_of(revisions[0]["_id"]),
            batch_size=len(revisions),
        )
        for result in response.decode(list[Written]):
            outcome = written(result)
            if isinstance(outcome, CouchDBError):
                raise outcome

    async def changes(self, since: str | int, *, limit: int, timeout_s: float) -> Changes:
        """The next changes; none if nothing changes within `timeout_s` seconds."""
        options = {
            "feed": "longpoll",
            "style": "all_docs",
            "include_docs": True,
            "conflicts": True,
            "since": since,
            "limit": limit,
            "timeout": round(timeout_s * 1000),
        }
        # On a cluster another node may repeat changes, so all polls go to one as long as it answers.
        node = self._node_of("_changes")
        response = await self._endpoint.request(
            "GET /{db}/_changes", "_changes", options, node=node, may_be_slow=True
        )
        changes = response.decode(Changes, _changes_apart)
        try:
            for change in changes.results:
                if change.doc is not None:
                    document_json.check_is_stored(change.doc)
        except msgspec.ValidationError as error:
            raise response.unusable(error) from error
        return changes

    async def update_seq(self) -> str | int:
        """The sequence of the database's last change."""
        response = await self._endpoint.request("GET /{db}", "")
        return response.decode(_Information).update_seq

    async def read_local(self, name: str) -> Document | None:
        """The local document of this name, which is not replicated; None if there is none."""
        path, node = f"_local/{quote_id(name)}", self._node_of(f"_local/{name}")
        return await self._get_or_none(path, node, operation="GET /{db}/_local/{docid}")

    async def write_local(self, name: str, body: Document) -> None:
        """Writes a local document, which is not replicated. Two writers may overwrite each other.

        Raises:
            ConflictError: another writer was faster, on a database that notices (CouchDB does not).
        """
        current = await self.read_local(name)
        rev = {} if current is None else {"_rev": current["_rev"]}
        path = f"_local/{quote_id(name)}"
        response = await self._endpoint.request(
            "PUT /{db}/_local/{docid}",
            path,
            body=document_json.encode(body | rev),
            node=self._node_of(f"_local/{name}"),
        )
        response.raise_for_status()

    def _node_of(self, document_id: str) -> yarl.URL:
        return self._endpoint.nodes.of_document(document_id)

    async def _get_or_none(
        self,
        path: str,
        node: yarl.URL,
        options: dict[str, Any] | None = None,
        operation: str = "GET /{db}/{docid}",
    ) -> Document | None:
        try:
            return await self._endpoint.get_document(path, options, operation=operation, node=node)
        except NotFoundError as error:
            if error.reason in ("missing", "deleted"):
                return None
            raise
