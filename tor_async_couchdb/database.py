"""A connection to one CouchDB database: documents and views, as dictionaries."""

import asyncio
import collections
import urllib.parse
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec
import yarl

from tor_async_couchdb.document_writer import DocumentWriter
from tor_async_couchdb.errors import TransportError
from tor_async_couchdb.model import Document
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.tamper import Signer
from tor_async_couchdb.transport import Response, Transport

_ID_BATCH_SIZE = 100


class Row(msgspec.Struct, frozen=True):
    """One row of a view; a reduced one has no `id`, and one whose document was deleted meanwhile no `doc`."""

    key: Any
    id: str | None = None
    value: Any = None
    doc: Document | None = None


class _Rows(msgspec.Struct, frozen=True):
    rows: list[Row]


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
        self._url = parsed.with_user(None).with_query(None).with_fragment(None)
        self.tampering_signer = tampering_signer
        self._transport = Transport(
            username=parsed.user if username is None else username,
            password=parsed.password if password is None else password,
            validate_cert=validate_cert,
            timeout_s=timeout_s,
            observer=observer or Observer(),
        )
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
        """Closes all connections to CouchDB."""
        await self._transport.close()

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @property
    def url(self) -> str:
        """The database's URL, without credentials."""
        return str(self._url)

    @property
    def name(self) -> str:
        """The database's name."""
        return self._url.name

    @property
    def observer(self) -> Observer:
        """Who is told what the database does."""
        return self._transport.observer

    @observer.setter
    def observer(self, observer: Observer) -> None:
        self._transport.observer = observer

    async def information(self) -> dict[str, Any]:
        """What CouchDB says of the database: `doc_count`, `sizes` and more."""
        information: dict[str, Any] = await self._get_json("information", "")
        return information

    async def fetch(self, document_id: str, **options: Any) -> Document:
        """One document. `options` are CouchDB's for `GET /{db}/{docid}`: `rev`, `conflicts`, ….

        Raises:
            NotFoundError: the document, or the database, is not there.
        """
        document: Document = await self._get_json("fetch", quote_id(document_id), options)
        return document

    async def fetch_leaves(self, document_id: str) -> list[Document]:
        """A document's leaf revisions, deleted ones included, with `_revisions`; [] if there are none."""
        body = msgspec.json.encode({"docs": [{"id": document_id}]})
        response = await self._send("fetch_leaves", "POST", "_bulk_get", {"revs": True}, body=body)
        found = response.raise_for_status().json()["results"][0]["docs"]
        return [entry["ok"] for entry in found if "ok" in entry]

    async def query_view(self, design_doc: str, **options: Any) -> list[Row]:
        """The rows of the view that has its design document's name.

        `options` are CouchDB's for views (`key`, `startkey`, `limit`, `include_docs`, …), not yet encoded.

        Raises:
            NotFoundError: the database or the design document is not there.
        """
        path = f"_design/{quote_id(design_doc)}/_view/{quote_id(design_doc)}"
        response = await self._send("query_view", "GET", path, {"reduce": False} | options)
        try:
            return msgspec.json.decode(response.raise_for_status().body, type=_Rows).rows
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TransportError(f"the answer to GET {response.path} is not a view's: {error}") from error

    async def save(self, document: Document) -> str:
        """Writes a document that has its `_id`; the revision that it became.

        Raises:
            ConflictError: its `_rev` is not, or no longer, the current one.
            InvalidDocumentError: it can't be written as JSON.
            OutcomeUnknownError: it may or may not have been written.
        """
        return await self._writer.write(document)

    async def delete(self, document_id: str, rev: str) -> str:
        """Deletes a document; raises as `save` does. The revision of the tombstone."""
        return await self._writer.write({"_id": document_id, "_rev": rev, "_deleted": True})

    async def new_document_id(self) -> str:
        """An id for a new document, chosen by CouchDB: sequential, which keeps its B-tree compact."""
        async with self._new_ids_lock:
            if not self._new_ids:
                url = self._url.with_path("/_uuids").with_query(count=_ID_BATCH_SIZE)
                response = await self._transport.send("new_document_ids", "GET", url)
                self._new_ids.extend(response.raise_for_status().json()["uuids"])
            return self._new_ids.popleft()

    async def design_doc_names(self) -> list[str]:
        """The names of all design documents, without `_design/`."""
        answer = await self._get_json("design_doc_names", "_design_docs")
        return [row["id"].removeprefix("_design/") for row in answer["rows"]]

    async def view_information(self, design_doc: str) -> dict[str, Any]:
        """What CouchDB says of a design document's index: its `sizes` and more.

        Raises:
            NotFoundError: the database or the design document is not there.
        """
        path = f"_design/{quote_id(design_doc)}/_info"
        information: dict[str, Any] = (await self._get_json("view_information", path))["view_index"]
        return information

    async def bulk_docs(self, documents: list[bytes]) -> list[dict[str, Any]]:
        """Writes encoded documents; CouchDB's result for each, in their order.

        Raises:
            ConnectError: nothing was sent.
            TransportError: no answer came, and all, some or none of them were written.
        """
        body = b'{"docs":[' + b",".join(documents) + b"]}"
        response = await self._send("bulk_docs", "POST", "_bulk_docs", body=body, is_read=False)
        results: list[dict[str, Any]] = response.raise_for_status().json()
        return results

    async def _get_json(self, operation: str, path: str, options: Mapping[str, Any] | None = None) -> Any:
        return (await self._send(operation, "GET", path, options)).raise_for_status().json()

    async def _send(
        self,
        operation: str,
        method: str,
        path: str,
        options: Mapping[str, Any] | None = None,
        *,
        body: bytes | None = None,
        is_read: bool = True,
    ) -> Response:
        url = self._url_of(path, options or {})
        return await self._transport.send(operation, method, url, body=body, is_read=is_read)

    def _url_of(self, path: str, options: Mapping[str, Any]) -> yarl.URL:
        query = urllib.parse.urlencode({name: _option(name, value) for name, value in options.items()})
        url = f"{self._url}/{path}" if path else str(self._url)
        return yarl.URL(f"{url}?{query}" if query else url, encoded=True)


# CouchDB takes these options as JSON, and all others as they are.
_JSON_OPTIONS = frozenset({"key", "startkey", "endkey"})


def _option(name: str, value: Any) -> str:
    if name in _JSON_OPTIONS or not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return value


def quote_id(document_id: str) -> str:
    """A document's id as a part of a path; the slash of `_design/` and `_local/` is not quoted."""
    for prefix in ("_design/", "_local/"):
        if document_id.startswith(prefix):
            return prefix + quote_id(document_id.removeprefix(prefix))
    if document_id in (".", ".."):  # which mean something else in a path, unless they are quoted
        return document_id.replace(".", "%2E")
    return urllib.parse.quote(document_id, safe="")
