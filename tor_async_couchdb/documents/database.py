"""A connection to one CouchDB database: documents and views, as dictionaries."""

import asyncio
import collections
import functools
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec
import yarl

from tor_async_couchdb import deadline
from tor_async_couchdb.calls import CallTracer
from tor_async_couchdb.deadline import acquired_before
from tor_async_couchdb.documents.cluster import ChosenRule, has_majority
from tor_async_couchdb.documents.leaf import mergeable
from tor_async_couchdb.documents.revisions import Revisions
from tor_async_couchdb.documents.single_copy import SingleCopyWriter
from tor_async_couchdb.documents.unique_keys import UniqueKeys
from tor_async_couchdb.documents.writer import DocumentWriter
from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.model import Document
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.wire.bulk_requests import BulkRequests, Written
from tor_async_couchdb.wire.coalescer import Coalescer, NodeCoalescers
from tor_async_couchdb.wire.endpoint import Endpoint, quote_id, split_options
from tor_async_couchdb.wire.json_parts import UNDECODABLE, elements, members, reason_of
from tor_async_couchdb.wire.login import BasicLogin, Login, login_of_url
from tor_async_couchdb.wire.nodes import Nodes, database_urls
from tor_async_couchdb.wire.transport import Transport

_ID_BATCH_SIZE = 100
_VIEW = "/{db}/_design/{ddoc}/_view/{view}"


class Row(msgspec.Struct, frozen=True):
    """A row of a view. A reduced row has no `id`; a row whose document was deleted meanwhile has no `doc`."""

    key: Any
    id: str | None = None
    value: Any = None
    doc: Document | None = None

    @property
    def error(self) -> InvalidDocumentError | None:
        """Why a part of the row is missing; None if all of it could be decoded."""
        return None


class UnreadableRow(Row, frozen=True):
    """A row of which a part can't be decoded and is missing; such a `key` is left as JSON."""

    reason: str = ""

    @property
    def error(self) -> InvalidDocumentError:
        """Why a part of the row is missing."""
        return InvalidDocumentError(f"can't be decoded: {self.reason}", document_id=self.id)


class _Rows(msgspec.Struct, frozen=True):
    rows: list[Row]


def _rows_apart(text: bytes) -> _Rows:
    return _Rows([_row(row) for row in elements(members(text)["rows"])])


class _Results(msgspec.Struct, frozen=True):
    results: list[_Rows]


def _results_apart(text: bytes) -> _Results:
    return _Results([_rows_apart(result) for result in elements(members(text)["results"])])


def _row(text: bytes) -> Row:
    try:
        return msgspec.json.decode(text, type=Row)
    except UNDECODABLE as error:
        reason = reason_of(error)
    parts: dict[str, Any] = {}
    for name, part in members(text).items():
        try:
            parts[name] = msgspec.json.decode(part)
        except UNDECODABLE:
            if name == "key":
                parts[name] = msgspec.Raw(part)
    return UnreadableRow(
        key=parts["key"], id=parts.get("id"), value=parts.get("value"), doc=parts.get("doc"), reason=reason
    )


class _NewIds(msgspec.Struct, frozen=True):
    uuids: Annotated[list[str], msgspec.Meta(min_length=1)]


class _Cluster(msgspec.Struct, frozen=True):
    n: int = 1


class _Information(msgspec.Struct, frozen=True):
    db_name: str
    doc_count: int
    sizes: dict[str, int] = {}
    cluster: _Cluster = _Cluster()


class _Index(msgspec.Struct, frozen=True):
    sizes: dict[str, int] = {}


class _ViewInformation(msgspec.Struct, frozen=True):
    view_index: _Index


def _basic_login(username: str | None, password: str | None, url: yarl.URL) -> BasicLogin | None:
    if username is None and password is None:
        return login_of_url(url)
    return BasicLogin(username or "", password or "")


class Database:
    """A database at `url`, for instance `http://127.0.0.1:5984/fruits`, and the connections to it.

    On a cluster `url` may name the database on several nodes: `http://a:5984/fruits,http://b:5984/fruits`.
    Requests for one document then go to one node, which its id decides, and to another one if that node
    fails. A write that may have been applied is not sent to another node. Give all processes the same URLs.

    Use it as an async context manager, one for the life of a service. Its methods may be called concurrently.
    Each request ends within `timeout_s` seconds, and before the request's deadline. The `guard` seals and
    opens the documents of models, the `observer` learns what happens, the `retry_budget` bounds retries, the
    `tracer` makes spans, and a `transport` of your own replaces HTTP (then credentials, timeout and tracer
    are the transport's).

    All methods raise TransportError if CouchDB does not answer and ResponseError if it refuses.

    `username` and `password` replace those in the URLs, both of them. A `login` replaces all of these, for
    instance `login=SessionLogin("user", SecretFile("/run/secrets/password"))`.

    Raises:
        ValueError: a URL is not that of a database, several do not go together, or the credentials can't
            be used.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        login: Login | None = None,
        validate_cert: bool = True,
        guard: Guard | None = None,
        observer: Observer | None = None,
        retry_budget: RetryBudget | None = None,
        transport: Transport | None = None,
        tracer: CallTracer | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        urls = database_urls(url)
        nodes = Nodes(urls)
        if login is None:
            login = _basic_login(username, password, urls[0])
        elif username is not None or password is not None:
            raise ValueError("give either a login, or a username and a password")
        self.guard = guard or Guard()
        self.observer = observer or Observer()
        self.origin: Database = self  # the database that `observed_by` was called on first
        self.retry_budget = retry_budget = retry_budget or RetryBudget()
        self._transport = transport or Transport(
            validate_cert=validate_cert,
            timeout_s=timeout_s,
            observer=self.observer,
            retry_budget=retry_budget,
            tracer=tracer,
            authenticator=None if login is None else login.authenticator(nodes.urls, self.observer),
        )
        self._endpoint = Endpoint(nodes, self._transport, retry_budget)
        self.revisions = Revisions(self._endpoint)
        bulk = BulkRequests(self._endpoint)
        self._bulk = bulk
        self._reads = NodeCoalescers(nodes, bulk.fetch, is_read=True)
        self._leaves = NodeCoalescers(nodes, bulk.fetch_leaves, is_read=True)
        self._look_ups: dict[str, Coalescer[str, list[str]]] = {}
        self._group_reads: dict[tuple[str, str], Coalescer[str, list[Row]]] = {}
        self._unique_keys = UniqueKeys(self._look_up, self.fetch)
        writes = NodeCoalescers(nodes, bulk.write, is_read=False)
        single_copy = functools.partial(self._single_copy, writes, retry_budget)
        self._rule = ChosenRule(self._endpoint, bulk, self.revisions, self.guard, single_copy)
        self._writer = DocumentWriter(self._rule)
        self._new_ids: collections.deque[str] = collections.deque()
        self._new_ids_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all requests, and closes the connections to CouchDB and the guard.

        Whatever asks the database after this gets a ConnectError.
        """
        await self._transport.close()
        await self.guard.close()

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    def observed_by(self, observer: Observer) -> Self:
        """This database for one caller: `observer` learns what happens through it.

        It shares the connections, and the requests to CouchDB go on being reported to the database's own
        observer, as one request serves many callers.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view.observer = observer
        return view

    @property
    def url(self) -> str:
        """The database's URL, without credentials; on several nodes all URLs, separated by commas."""
        return ",".join(str(url) for url in self._endpoint.nodes.urls)

    @property
    def name(self) -> str:
        """The database's name."""
        return self._endpoint.url.name

    async def information(self) -> dict[str, Any]:
        """CouchDB's information about the database: `doc_count`, `sizes` and more."""
        response = await self._endpoint.request("GET /{db}", "")
        response.decode(_Information)
        information: dict[str, Any] = response.json()
        return information

    async def copies(self) -> int:
        """How many copies of each document CouchDB keeps (`n`); it is asked once, before the first write."""
        return await self._rule.copies()

    async def has_majority(self) -> bool:
        """Whether most copies on a cluster take writes at the moment; it writes a `_local` document."""
        return await has_majority(self._endpoint)

    async def fetch(self, document_id: str) -> Document:
        """The winning revision of a document.

        Raises:
            NotFoundError: there is no such document, or no such database.
        """
        return await self._reads.submit(document_id, document_id)

    async def fetch_revision(self, document_id: str, rev: str) -> Document:
        """One revision of a document, if CouchDB still has it.

        Raises:
            NotFoundError: CouchDB does not have the revision, or there is no such document or database.
        """
        node = self._endpoint.nodes.of_document(document_id)
        return await self._endpoint.get_document(quote_id(document_id), {"rev": rev}, node=node)

    async def find(self, design_doc: str, key: str, has_key: Callable[[Document], bool]) -> Document | None:
        """The document under a key that is unique and never changes, in the view named `design_doc`.

        The database remembers the document's id, so most calls do not ask the view; `has_key` says whether a
        document has the key. Of several documents it is the one with the smallest id.

        Raises:
            NotFoundError: there is no such database or design document.
        """
        return await self._unique_keys.find(design_doc, key, has_key)

    def remember(self, design_doc: str, key: str, document_id: str) -> None:
        """Remembers which document has a key, so that `find` need not ask the view."""
        self._unique_keys.remember(design_doc, key, document_id)

    async def fetch_leaves(self, document_id: str) -> list[Document]:
        """The leaf revisions of a document, tombstones included, with `_revisions`; [] if there are none."""
        return await self._leaves.submit(document_id, document_id)

    async def fetch_conflict(self, document_id: str) -> list[Document]:
        """The live leaves that are to be merged, the winner first; [] if there are none.

        On a cluster they are without the leaves that lost a race here, which their writers bury.
        """
        leaves = await self.revisions.fetch_live_leaves(document_id)
        if len(leaves) < 2 or await self.copies() < 2:
            return leaves
        rule = await self._rule()
        return mergeable(await self.fetch_leaves(document_id), rule.nonces.database_id)

    async def query_view(self, design_doc: str, **options: Any) -> list[Row]:
        """The rows of the view that has the name of its design document.

        `options` are CouchDB's options for views (`key`, `startkey`, `limit`, `include_docs`, …) or their
        aliases (`start_key`, …), as Python values.

        Raises:
            NotFoundError: there is no such database or design document.
        """
        path = f"_design/{quote_id(design_doc)}/_view/{quote_id(design_doc)}"
        in_query, in_body = split_options({"reduce": False} | options)
        if in_body:
            body = msgspec.json.encode(in_body)
            response = await self._endpoint.request(
                f"POST {_VIEW}", path, in_query, body=body, may_be_slow=True
            )
        else:
            response = await self._endpoint.request(f"GET {_VIEW}", path, in_query, may_be_slow=True)
        return response.decode(_Rows, _rows_apart).rows

    async def query_group(self, design_doc: str, key: str, *, update: str = "true") -> list[Row]:
        """The rows of a view whose keys are arrays that begin with `key`, without documents.

        `update` is CouchDB's option. Callers that wait at the same time share a request.

        Raises:
            NotFoundError: there is no such database or design document.
        """
        name = design_doc, update
        if name not in self._group_reads:
            self._group_reads[name] = Coalescer(functools.partial(self._query_groups, *name), is_read=True)
        return await self._group_reads[name].submit(key)

    async def save(self, document: Document) -> str:
        """Writes a document that has an `_id`; returns its new revision.

        Raises:
            ConflictError: the document's `_rev` is not the current one.
            InvalidDocumentError: the document is not JSON.
            OutcomeUnknownError: the document may or may not have been written.
        """
        stored = await self.store(await self.prepared(document))
        return str(stored["_rev"])

    async def prepared(self, document: Document, *, is_new: bool = False) -> Document:
        """The document with the nonce of a new write of it, to be signed and stored.

        With `is_new` there never was a document under its id. Raises as `save` does.
        """
        return await self._writer.prepared(document, self.observer, is_new=is_new)

    async def store(self, document: Document) -> Document:
        """Writes a prepared document; returns it as it is stored. Raises as `save` does."""
        return await self._writer.write(document, self.observer)

    async def delete(self, document_id: str, rev: str) -> str:
        """Deletes a document; returns the tombstone's revision.

        Raises:
            ConflictError: `rev` is not the document's current revision.
            OutcomeUnknownError: the document may or may not have been deleted.
        """
        return await self.save({"_id": document_id, "_rev": rev, "_deleted": True})

    async def new_document_id(self) -> str:
        """An id for a new document, made by CouchDB: sequential ids keep its B-tree compact."""
        complaint = "CouchDB was too slow to make an id"
        async with acquired_before(deadline.current().at_s, self._new_ids_lock, complaint):
            if not self._new_ids:
                response = await self._endpoint.request_ids(_ID_BATCH_SIZE)
                self._new_ids.extend(response.decode(_NewIds).uuids)
            return self._new_ids.popleft()

    async def design_doc_names(self) -> list[str]:
        """The names of all design documents, without `_design/`."""
        response = await self._endpoint.request("GET /{db}/_design_docs", "_design_docs")
        return [str(row.id).removeprefix("_design/") for row in response.decode(_Rows).rows]

    async def view_information(self, design_doc: str) -> dict[str, Any]:
        """CouchDB's information about a design document's index: its `sizes` and more.

        Raises:
            NotFoundError: there is no such database or design document.
        """
        path = f"_design/{quote_id(design_doc)}/_info"
        response = await self._endpoint.request("GET /{db}/_design/{ddoc}/_info", path)
        response.decode(_ViewInformation)
        information: dict[str, Any] = response.json()["view_index"]
        return information

    def _single_copy(
        self, writes: NodeCoalescers[bytes, Written], retry_budget: RetryBudget
    ) -> SingleCopyWriter:
        async def send(document_id: str, encoded: bytes) -> str:
            return str((await writes.submit(document_id, encoded, key=document_id)).rev)

        return SingleCopyWriter(
            send=send,
            fetch_leaves=self.fetch_leaves,
            fetch_revision=self.fetch_revision,
            retry_budget=retry_budget,
        )

    async def _query_groups(self, design_doc: str, update: str, keys: Sequence[str]) -> list[list[Row]]:
        different = [*dict.fromkeys(keys)]
        options = {"reduce": False, "update": update}
        queries = [{"startkey": [key], "endkey": [key, {}], **options} for key in different]
        if len(queries) == 1:
            found = [await self.query_view(design_doc, **queries[0])]
        else:
            path = f"_design/{quote_id(design_doc)}/_view/{quote_id(design_doc)}/queries"
            body = msgspec.json.encode({"queries": queries})
            response = await self._endpoint.request(
                f"POST {_VIEW}/queries", path, body=body, may_be_slow=True
            )
            found = [result.rows for result in response.decode(_Results, _results_apart).results]
        rows = dict(zip(different, found, strict=True))
        return [rows[key] for key in keys]

    async def _look_up(self, design_doc: str, key: str) -> list[str]:
        if design_doc not in self._look_ups:
            look_up = functools.partial(self._bulk.look_up, design_doc)
            self._look_ups[design_doc] = Coalescer(look_up, is_read=True)
        return await self._look_ups[design_doc].submit(key)
