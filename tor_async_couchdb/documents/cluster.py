"""Whether a database is on a cluster, and the requests that sealing makes there."""

import asyncio
import contextlib
import functools
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec
import yarl

from tor_async_couchdb import deadline
from tor_async_couchdb.deadline import acquired_before
from tor_async_couchdb.documents.nonces import Nonces
from tor_async_couchdb.documents.revisions import Revisions
from tor_async_couchdb.documents.sealer import Sealer, Written
from tor_async_couchdb.documents.writer import Rule
from tor_async_couchdb.errors import ConflictError, ConnectError, InvalidDocumentError, TransportError
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire import document_json
from tor_async_couchdb.wire.bulk_requests import BulkRequests
from tor_async_couchdb.wire.bulk_requests import Written as BulkWritten
from tor_async_couchdb.wire.coalescer import NodeCoalescers
from tor_async_couchdb.wire.endpoint import Endpoint

# A local document, so that replication does not carry it to another cluster.
_IDENTITY = "tor_async_couchdb"
# Another one, which says nothing. Each write replaces the last: there is no conflict check.
_PROBE = "tor_async_couchdb_majority"
_ACCEPTED = 202
# Two processes may name a new database at once; by then each has overwritten the other's name.
_NAMING_TIME_S = 0.5


class _Copies(msgspec.Struct, frozen=True):
    n: int = 1


class _Information(msgspec.Struct, frozen=True):
    db_name: str  # else it is not a database that answers
    cluster: _Copies = _Copies()


class _Identity(msgspec.Struct, frozen=True):
    database_id: str


async def has_majority(endpoint: Endpoint, node: yarl.URL | None = None) -> bool:
    """Whether most copies take writes at the moment.

    CouchDB answers every read while a single copy is alive, whatever `r` it is asked for. A write is the only
    request of a plain user that shows how many are: the status is 202 if fewer than a majority took it. It
    shows that for the copies of one document, which on more than three nodes may be on other ones.
    """
    path = f"_local/{_PROBE}"
    response = await endpoint.request("PUT /{db}/_local/{docid}", path, body=b"{}", node=node)
    return response.status != _ACCEPTED


class ChosenRule:
    """The rule for writes to a database, which is asked once how many copies it keeps."""

    def __init__(
        self,
        endpoint: Endpoint,
        bulk: BulkRequests,
        revisions: Revisions,
        guard: Guard,
        single_copy: Callable[[], Rule],
    ) -> None:
        self._endpoint = endpoint
        self._bulk = bulk
        self._revisions = revisions
        self._guard = guard
        self._single_copy = single_copy
        self._copies: int | None = None
        self._rule: Rule | None = None
        self._lock = asyncio.Lock()

    async def copies(self) -> int:
        """How many copies of each document the database keeps; a database that does not say so keeps one."""
        if self._copies is None:
            try:
                response = await self._endpoint.request("GET /{db}", "")
                self._copies = response.decode(_Information).cluster.n
            except TransportError as error:
                raise ConnectError(f"CouchDB did not say how many copies it keeps: {error}") from error
        return self._copies

    async def __call__(self) -> Rule:
        """The rule; raises a CouchDBError while the database can't be asked."""
        if self._rule is not None:
            return self._rule
        complaint = "CouchDB was too slow to say how many copies it keeps"
        async with acquired_before(deadline.current().at_s, self._lock, complaint):
            if self._rule is None:
                self._rule = await self._chosen()
            return self._rule

    async def _chosen(self) -> Rule:
        copies = await self.copies()
        if copies < 2:
            return self._single_copy()
        return Sealer(
            _Requests(self._endpoint, self._bulk, self._revisions, copies),
            copies=copies,
            nonces=Nonces(await self._database_id()),
            sign=self._guard.sign,
            renew=self._guard.renew,
        )

    async def _database_id(self) -> str:
        identity = await self._revisions.read_local(_IDENTITY)
        if identity is None:
            with contextlib.suppress(ConflictError):
                await self._revisions.write_local(_IDENTITY, {"database_id": secrets.token_urlsafe(6)})
            await asyncio.sleep(_NAMING_TIME_S)
            identity = await self._revisions.read_local(_IDENTITY)
        try:
            return "" if identity is None else msgspec.convert(identity, _Identity).database_id
        except msgspec.ValidationError as error:
            raise InvalidDocumentError(str(error), document_id=f"_local/{_IDENTITY}") from error


class _Requests:
    """The `ClusterIO` of a database."""

    def __init__(self, endpoint: Endpoint, bulk: BulkRequests, revisions: Revisions, copies: int) -> None:
        self._endpoint = endpoint
        self._bulk = bulk
        self._revisions = revisions
        self._copies = copies
        self._writes: dict[int, NodeCoalescers[bytes, BulkWritten]] = {}
        fetch_leaves = functools.partial(bulk.fetch_leaves, copies=copies)
        self._leaves = NodeCoalescers(endpoint.nodes, fetch_leaves, is_read=True)

    async def write(self, document: Document, copies: int) -> Written:
        """See `ClusterIO.write`."""
        if copies not in self._writes:
            write = functools.partial(self._bulk.write, copies=copies)
            self._writes[copies] = NodeCoalescers(self._endpoint.nodes, write, is_read=False)
        document_id = document["_id"]
        encoded = document_json.encode(document)
        written = await self._writes[copies].submit(document_id, encoded, key=document_id)
        return Written(str(written.rev), not written.accepted)

    async def fetch_leaves(self, document_id: str) -> Sequence[Document]:
        """See `ClusterIO.fetch_leaves`."""
        return await self._leaves.submit(document_id, document_id)

    async def push(self, revisions: Sequence[Document]) -> None:
        """See `ClusterIO.push`."""
        await self._revisions.insert(revisions, copies=self._copies)

    async def is_majority_alive(self, document_id: str) -> bool:
        """See `ClusterIO.is_majority_alive`."""
        return await has_majority(self._endpoint, self._endpoint.nodes.of_document(document_id))

    async def sleep(self, seconds: float) -> None:
        """See `ClusterIO.sleep`."""
        await asyncio.sleep(max(0.0, min(seconds, deadline.current().remaining_s())))

    def now(self) -> float:
        """See `ClusterIO.now`."""
        return time.monotonic()
