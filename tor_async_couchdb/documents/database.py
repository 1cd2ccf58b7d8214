"""A connection to one CouchDB database: documents and views, as dictionaries."""

import asyncio
import collections
import functools
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec
import yarl

from tor_async_couchdb import deadline
from tor_async_couchdb.documents.revisions import Revisions
from tor_async_couchdb.documents.unique_keys import UniqueKeys
from tor_async_couchdb.documents.writer import DocumentWriter
from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.history.witness import BaseWitness
from tor_async_couchdb.model.model import Document
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection.alarm import TamperingAlarm
from tor_async_couchdb.protection.encryption import Encryption
from tor_async_couchdb.protection.signing import Signer
from tor_async_couchdb.turns import turn
from tor_async_couchdb.wire.bulk_requests import BulkRequests
from tor_async_couchdb.wire.coalescer import Coalescer
from tor_async_couchdb.wire.endpoint import Endpoint, quote_id
from tor_async_couchdb.wire.transport import Transport

_ID_BATCH_SIZE = 100


class Row(msgspec.Struct, frozen=True):
    """One row of a view; a reduced one has no `id`, and one whose document was deleted meanwhile no `doc`."""

    key: Any
    id: str | None = None
    value: Any = None
    doc: Document | None = None


class _Rows(msgspec.Struct, frozen=True):
    rows: list[Row]


class _NewIds(msgspec.Struct, frozen=True):
    uuids: Annotated[list[str], msgspec.Meta(min_length=1)]


class _ViewInformation(msgspec.Struct, frozen=True):
    view_index: dict[str, Any]


class Database:
    """A database at `url`, for instance `http://127.0.0.1:5984/fruits`, and the connections to it.

    Use it as an async context manager, one for the life of a service; its methods may be called
    concurrently. Each request ends within `timeout_s` seconds, and within the deadline of the request
    that is being handled (`request_context`). All methods raise TransportError when CouchDB doesn't
    answer and ResponseError when it refuses.

    Raises:
        ValueError: `url` is not the URL of a database.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        validate_cert: bool = True,
        tampering_signer: Signer | None = None,
        observer: Observer | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        parsed = yarl.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host or not parsed.path.strip("/"):
            raise ValueError("a database's URL is http[s]://host:port/database")
        self.tampering_signer = tampering_signer
        self.witness: BaseWitness | None = None  # set it to have one; it is closed with the database
        self.encryption = Encryption()  # set one with data keys for models with encrypted properties
        self._alarm = TamperingAlarm()
        self.groups: dict[Hashable, Any] = {}  # see group_commit
        self._transport = Transport(
            username=parsed.user if username is None else username,
            password=parsed.password if password is None else password,
            validate_cert=validate_cert,
            timeout_s=timeout_s,
            observer=observer or Observer(),
        )
        url_without_secrets = parsed.with_user(None).with_path(parsed.raw_path.rstrip("/"), encoded=True)
        self._endpoint = Endpoint(url_without_secrets, self._transport)
        self.revisions = Revisions(self._endpoint)
        self._bulk = BulkRequests(self._endpoint)
        self._reads = Coalescer(self._bulk.fetch, is_read=True)
        self._leaves = Coalescer(self._bulk.fetch_leaves, is_read=True)
        self._writes = Coalescer(self._bulk.write, is_read=False)
        self._look_ups: dict[str, Coalescer[str, list[str]]] = {}
        self._unique_keys = UniqueKeys(self._look_up, self.fetch)
        self._writer = DocumentWriter(self)
        self._new_ids: collections.deque[str] = collections.deque()
        self._new_ids_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections to CouchDB, and the witness."""
        await self._transport.close()
        if self.witness is not None:
            await self.witness.close()

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @property
    def url(self) -> str:
        """The database's URL, without credentials."""
        return str(self._endpoint.url)

    @property
    def name(self) -> str:
        """The database's name."""
        return self._endpoint.url.name

    @property
    def observer(self) -> Observer:
        """Who is told what the database does."""
        return self._transport.observer

    @observer.setter
    def observer(self, observer: Observer) -> None:
        self._transport.observer = observer

    def tampering_detected(self, error: TamperedError) -> None:
        """Sounds the alarm about a document that was read, and tells the observer; once for each error."""
        if error.is_reported:
            return
        error.is_reported = True
        self._alarm.sound(error)
        self.observer.tampering_detected(error)

    async def information(self) -> dict[str, Any]:
        """What CouchDB says of the database: `doc_count`, `sizes` and more."""
        return await self._endpoint.get_json("information", "")

    async def fetch(self, document_id: str) -> Document:
        """The winning revision of a document.

        Raises:
            NotFoundError: the document, or the database, is not there.
        """
        return await self._reads.submit(document_id)

    async def fetch_revision(self, document_id: str, rev: str) -> Document:
        """One revision of a document, as long as CouchDB keeps it; raises as `fetch` does."""
        return await self._endpoint.get_json("fetch", quote_id(document_id), {"rev": rev})

    async def find(self, design_doc: str, key: str, has_key: Callable[[Document], bool]) -> Document | None:
        """The document that the view of this name has under a key that is unique and never changes.

        Which document that is is remembered: `has_key` has to say whether a document has the key. Of several
        it is the one with the smallest id.

        Raises:
            NotFoundError: the database or the design document is not there.
        """
        return await self._unique_keys.find(design_doc, key, has_key)

    def remember(self, design_doc: str, key: str, document_id: str) -> None:
        """Spares `find` its look-up of a document that has been written with this key."""
        self._unique_keys.remember(design_doc, key, document_id)

    async def fetch_leaves(self, document_id: str) -> list[Document]:
        """A document's leaf revisions, deleted ones included, with `_revisions`; [] if there are none."""
        return await self._leaves.submit(document_id)

    async def query_view(self, design_doc: str, **options: Any) -> list[Row]:
        """The rows of the view that has its design document's name.

        `options` are CouchDB's for views (`key`, `startkey`, `limit`, `include_docs`, …), not yet encoded.

        Raises:
            NotFoundError: the database or the design document is not there.
        """
        path = f"_design/{quote_id(design_doc)}/_view/{quote_id(design_doc)}"
        response = await self._endpoint.request("query_view", "GET", path, {"reduce": False} | options)
        return response.decode(_Rows).rows

    async def save(self, document: Document) -> str:
        """Writes a document that has its `_id`; the revision that it became.

        Raises:
            ConflictError: its `_rev` is not, or no longer, the current one.
            InvalidDocumentError: it can't be written as JSON.
            OutcomeUnknownError: it may or may not have been written.
        """
        return await self._writer.write(document)

    async def send_write(self, document_id: str, encoded: bytes) -> str:
        """Sends a write once, whatever becomes of it: what `save` is made of."""
        return await self._writes.submit(encoded, key=document_id)

    async def delete(self, document_id: str, rev: str) -> str:
        """Deletes a document; raises as `save` does. The revision of the tombstone."""
        return await self._writer.write({"_id": document_id, "_rev": rev, "_deleted": True})

    async def new_document_id(self) -> str:
        """An id for a new document, chosen by CouchDB: sequential, which keeps its B-tree compact."""
        deadline_s = deadline.current().deadline_s
        async with turn(self._new_ids_lock, deadline_s, "CouchDB was too slow to choose an id"):
            if not self._new_ids:
                url = self._endpoint.url.with_name("_uuids").with_query(count=_ID_BATCH_SIZE)
                response = await self._transport.send("new_document_ids", "GET", url)
                self._new_ids.extend(response.decode(_NewIds).uuids)
            return self._new_ids.popleft()

    async def design_doc_names(self) -> list[str]:
        """The names of all design documents, without `_design/`."""
        response = await self._endpoint.request("design_doc_names", "GET", "_design_docs")
        return [str(row.id).removeprefix("_design/") for row in response.decode(_Rows).rows]

    async def view_information(self, design_doc: str) -> dict[str, Any]:
        """What CouchDB says of a design document's index: its `sizes` and more.

        Raises:
            NotFoundError: the database or the design document is not there.
        """
        path = f"_design/{quote_id(design_doc)}/_info"
        response = await self._endpoint.request("view_information", "GET", path)
        return response.decode(_ViewInformation).view_index

    async def _look_up(self, design_doc: str, key: str) -> list[str]:
        if design_doc not in self._look_ups:
            look_up = functools.partial(self._bulk.look_up, design_doc)
            self._look_ups[design_doc] = Coalescer(look_up, is_read=True)
        return await self._look_ups[design_doc].submit(key)
