"""Append-only models: changes are new documents, so that nothing is ever in conflict.

The documents of one model are its parts (see `AppendedModel`). A view finds them. It has the name of its
design document, emits `[key, updated_on]` with the document itself as the value, and counts:

    function(doc) { if (…) { emit([doc.fruit_id, doc.updated_on], doc); } }        reduce: _count
"""

import asyncio
import contextlib
import datetime
import functools
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.actions.retrieve import AsyncModelsRetriever, BaseAsyncModelRetriever, Cursor, Page
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.documents.database import Database, Row
from tor_async_couchdb.errors import ConflictError, CouchDBError, OutcomeUnknownError, TransportError
from tor_async_couchdb.model import Document
from tor_async_couchdb.model.appended import AppendedModel, Entry
from tor_async_couchdb.model.entry_names import EntryNamer
from tor_async_couchdb.model.entry_sets import covers, one_entry
from tor_async_couchdb.model.timestamps import Timestamp, next_after, now

P = TypeVar("P", bound=AppendedModel)

# A process forgets to which models it has appended before these are more.
_MAX_KEYS = 100_000

# On a cluster the rows of a view come from several nodes, not all at the same moment: entries stay so long
# beside their snapshot, longer than a request for a view may take.
_CLUSTER_OVERLAP_S = 15.0

_NO_LIMIT = 1_000_000_000

# The rows whose keys are arrays that begin with a text; the keys of others are no model's.
# https://docs.couchdb.org/en/stable/ddocs/views/collation.html
_OF_MODELS: Mapping[str, Any] = {"startkey": [""], "endkey": [[]]}

# A folder reads so many parts at once: more would hold up the requests of its process.
_WINDOW = 256

# A lease for a longer time was written by a process whose clock is wrong.
_LONGEST_LEASE = 10

_logger = logging.getLogger(__name__)


class _Group(msgspec.Struct, frozen=True):
    key: tuple[str]
    value: int


class _Lease(msgspec.Struct, frozen=True):
    holder: str
    until: str


def _part_counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many parts there are, by the keys of the models; groups of another form than above are left out."""
    counts = {}
    for row in rows:
        with contextlib.suppress(msgspec.ValidationError):
            group = msgspec.convert(row, _Group, from_attributes=True)
            counts[group.key[0]] = group.value
    return counts


def _parts_in(rows: Iterable[Row]) -> list[Document]:
    return [row.value for row in rows if isinstance(row.value, dict)]


def joined(parts: Sequence[P]) -> P | None:
    """What parts are together; None if there are none."""
    return functools.reduce(lambda one, other: one.joined(other), parts) if parts else None


class AsyncPartsRetriever(BaseAsyncModelRetriever[P]):
    """Reads the one model whose parts are under a key in a view.

    With `update` "lazy" CouchDB answers at once and brings the view up to date afterwards, with "false" it
    does not bring it up to date. Then the newest changes may be missing, the reader's own among them.
    """

    def __init__(self, design_doc: str, key: str, *, update: str = "true", database: Database) -> None:
        super().__init__(database=database)
        self.design_doc = design_doc
        self.key = key
        self._update = update

    async def fetch_parts(self) -> list[P]:
        """The parts; those that do not fit the model are left out, and the observer learns of it."""
        rows = await self.database.query_group(self.design_doc, self.key, update=self._update)
        return await self._opened_all(_parts_in(rows))

    async def fetch_window(self, skip: int, limit: int) -> tuple[list[P], bool]:
        """At most `limit` parts, the oldest first, without the first `skip`; and whether there are more."""
        bounds = {"startkey": [self.key], "endkey": [self.key, {}], "skip": skip, "limit": limit}
        rows = await self.database.query_view(self.design_doc, update=self._update, **bounds)
        return await self._opened_all(_parts_in(rows)), len(rows) == limit

    async def fetch(self) -> P | None:
        """The model; None if there is none."""
        model = joined(await self.fetch_parts())
        return model if model is not None and model.is_there else None


class AsyncPartsPagesRetriever(AsyncModelsRetriever[P]):
    """Reads all models whose parts are in a view, in the order of their keys."""

    def __init__(self, design_doc: str, *, update: str = "true", database: Database) -> None:
        super().__init__(design_doc, database=database)
        self._update = update

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        """All parts of all models."""
        return {"update": self._update}

    async def fetch(self) -> list[P]:
        """All models."""
        page = await self.fetch_page(_NO_LIMIT)
        return page.models

    async def fetch_page(self, size: int, start: Cursor | None = None) -> Page[P]:
        """At most `size` models, from a cursor on; those that were deleted leave gaps."""
        options = {**_OF_MODELS}
        if start is not None and isinstance(start.key, list | dict):
            return Page([], None)  # they come after all texts, and CouchDB refuses an empty range
        if start is not None and isinstance(start.key, str):  # all others come before them
            options["startkey"] = [start.key]
        rows = await self._rows(include_docs=False, reduce=True, group_level=1, limit=size + 1, **options)
        keys = [*_part_counts(rows)]
        if not keys:
            return Page([], None)
        bounds = {"startkey": [keys[0]], "endkey": [keys[:size][-1], {}]}
        rows = await self._rows(include_docs=False, **bounds)
        models = []
        for _, group_rows in itertools.groupby(rows, key=lambda row: row.key[0]):
            model = joined(await self._opened_all(_parts_in(group_rows)))
            if model is not None and model.is_there:
                models.append(model)
        return Page(models, Cursor(keys[size], "") if len(keys) > size else None)


class Appended(NamedTuple, Generic[P]):
    """A model before and after an entry, in the order of all entries."""

    before: P
    after: P


class Journal:
    """What one process appends: it names the entries, and orders those of one model.

    Give one journal to all actions of a process.
    """

    def __init__(self) -> None:
        self._namer = EntryNamer()
        self._forget()

    def _forget(self) -> None:
        self._latest: dict[str, Timestamp] = {}
        self._gone: set[str] = set()
        self._in_flight: dict[str, list[asyncio.Future[None]]] = {}

    def expects(self, key: str) -> bool:
        """Whether this process has appended to the model before, and does not know that it is gone."""
        return key in self._latest and key not in self._gone

    def met_deleted(self, key: str) -> None:
        """The model is gone: it is read before anything is appended to it again."""
        self._gone.add(key)

    @contextlib.contextmanager
    def appending(
        self, key: str, after: Timestamp | None
    ) -> Iterator[tuple[Entry, list["asyncio.Future[None]"]]]:
        """A new entry that is later than this process's others and than `after`, and the writes before it."""
        if len(self._latest) > _MAX_KEYS and not self._in_flight:
            self._forget()
        known = (each for each in (self._latest.get(key), after) if each is not None)
        latest = max(known, default=None)
        moment = now() if latest is None else next_after(latest)
        self._latest[key] = moment
        writer, number = self._namer.writer, self._namer.next_number(key)
        earlier = self._in_flight.setdefault(key, [])
        own: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = [*earlier]
        earlier.append(own)
        try:
            yield Entry(f"{writer}.{number:09}", one_entry(writer, number), moment), before
        finally:
            own.set_result(None)
            earlier.remove(own)
            if not earlier and self._in_flight.get(key) is earlier:
                del self._in_flight[key]


class AsyncAppender(AsyncAction, Generic[P]):
    """Appends entries to the model that a retriever finds."""

    def __init__(self, retriever: AsyncPartsRetriever[P], journal: Journal) -> None:
        super().__init__(database=retriever.database)
        self._retriever = retriever
        self._journal = journal

    async def begin(self, make: Callable[[Entry], P]) -> P:
        """The first entry, which `make` makes, of a model that nobody knows yet.

        Raises:
            OutcomeUnknownError: it may or may not have been written.
        """
        with self._journal.appending(self._retriever.key, None) as (entry, _):
            return await AsyncPersister(make(entry), database=self.database).persist()

    async def append(self, make: Callable[[Entry], P]) -> Appended[P] | None:
        """The model before and after the entry that `make` makes; None if there is no such model.

        It is read before, unless this process has appended to it already. Within one process the entries of a
        follow each other as they do in the model; `before` may lack entries that other processes append at
        the same time.

        Raises:
            OutcomeUnknownError: the entry may or may not have been written, or was and can't be read.
        """
        latest_on = None
        if not self._journal.expects(self._retriever.key):
            model = await self._retriever.fetch()
            if model is None:
                return None
            latest_on = model.updated_on
        with self._journal.appending(self._retriever.key, latest_on) as (entry, earlier):
            own = await AsyncPersister(make(entry), database=self.database).persist()
        appended = await self._appended(own, earlier)
        if not appended.after.is_there:
            self._journal.met_deleted(self._retriever.key)
        return appended

    async def _appended(self, own: P, earlier: Sequence["asyncio.Future[None]"]) -> Appended[P]:
        try:
            if earlier:
                await deadline.met(asyncio.wait(earlier))
            parts = await self._retriever.fetch_parts()
        except (CouchDBError, TimeoutError) as error:
            raise OutcomeUnknownError("the change was made, but the model can't be read") from error
        # A snapshot may stand for later entries too, if this one took so long to be written.
        before = joined([part for part in parts if part.folded_on is not None or part.place < own.place])
        if before is None:
            raise OutcomeUnknownError("the change was made, but the view does not show the model yet")
        return Appended(before, before.joined(own))


class AsyncFolder(AsyncAction, Generic[P]):
    """Keeps the parts of models few: it folds their entries into snapshots, and deletes what it has folded.

    A snapshot names its entries, so that nothing counts twice, whatever happens when: two folders at once, an
    entry that replication brings late, or a crash between a snapshot and the deletion. A lease lets one
    process do the work; nothing depends on it. `retriever` is that of one model.

    A model is folded once it has more than `max_parts` parts that are older than `settle_s` seconds. A long
    history is folded in steps. A model that can't be folded holds up no other.
    """

    def __init__(
        self,
        retriever: Callable[[str, Database], AsyncPartsRetriever[P]],
        *,
        database: Database,
        max_parts: int = 20,
        settle_s: float = 2.0,
        interval_s: float = 1.0,
        lease_s: float = 10.0,
    ) -> None:
        super().__init__(database=database)
        self._retriever = retriever
        self._design_doc = retriever("", database).design_doc
        self._max_parts = max_parts
        self._settle_s = settle_s
        self._interval_s = interval_s
        self._lease_s = lease_s
        self._name = secrets.token_urlsafe(9)
        # So that the older half of a window is more than is left unfolded.
        self._window = max(_WINDOW, 2 * (max_parts + 1))
        self._complaints: dict[str, str] = {}

    @property
    def unfoldable_keys(self) -> Sequence[str]:
        """The keys of the models that could not be folded when that was tried last."""
        return [*self._complaints]

    async def run(self) -> None:
        """Folds until it is cancelled. While the database does not answer it logs that and tries again."""
        while True:
            try:
                with deadline.within(self._lease_s):
                    if await self._has_lease():
                        await self.fold_all()
            except CouchDBError as error:
                _logger.warning("can't fold %s: %s", self._design_doc, error)
            await asyncio.sleep(self._interval_s)

    async def fold_all(self) -> None:
        """Folds each model that has too many parts, as far as there is time.

        Raises:
            TransportError: CouchDB did not answer. The next call begins with the other models.
        """
        rows = await self.database.query_view(self._design_doc, reduce=True, group_level=1, **_OF_MODELS)
        keys = [key for key, count in _part_counts(rows).items() if count > self._max_parts]
        self._complaints = {key: self._complaints[key] for key in keys if key in self._complaints}
        for key in sorted(keys, key=self._complaints.__contains__):
            if deadline.current().remaining_s() <= 0:
                return
            await self._fold_apart(key)

    async def _fold_apart(self, key: str) -> None:
        try:
            await self.fold(key)
            await self.clean_up(key)
        except TransportError as error:  # of this model alone, or because the database is down
            self._complaints[key] = str(error)
            raise
        except Exception as error:  # noqa: BLE001 - a model's own code may raise what it likes
            self._complain(key, error)
        else:
            self._complaints.pop(key, None)

    def _complain(self, key: str, error: Exception) -> None:
        complaint = f"{type(error).__name__}: {error}"
        if self._complaints.get(key) != complaint:  # once, and not in each round
            trace = None if isinstance(error, CouchDBError) else error
            _logger.error("can't fold %r of %s: %s", key, self._design_doc, complaint, exc_info=trace)
        self._complaints[key] = complaint

    async def fold(self, key: str) -> None:
        """Writes a snapshot of the model, if it has too many parts that no other part stands for.

        Of a history that is too long for one step there are several.
        """
        async for parts in self._windows(key, self._window):
            uncovered = [part for part, cover in _covered(parts) if cover is None]
            snapshot = joined(uncovered)
            if snapshot is not None and len(uncovered) > self._max_parts:
                await AsyncPersister(snapshot.as_snapshot(), database=self.database).persist()

    async def clean_up(self, key: str) -> None:
        """Deletes the parts that a snapshot stands for, but for those with attachments, which it lacks."""
        overlap_s = _CLUSTER_OVERLAP_S if await self.database.copies() > 1 else 0.0
        # A snapshot is behind the parts that it stands for, so its window has to begin among these.
        async for parts in self._windows(key, self._window // 2):
            snapshots_until = _ago(overlap_s)
            folded = [
                part
                for part, cover in _covered(parts)
                if cover and not part.attachments and str(cover.folded_on) <= snapshots_until
            ]
            await asyncio.gather(*(self._delete(part) for part in folded))

    async def _delete(self, part: P) -> None:
        # Another folder may have deleted it already.
        with contextlib.suppress(ConflictError):
            await AsyncDeleter(part, database=self.database).delete()

    async def _windows(self, key: str, step: int) -> AsyncIterator[list[P]]:
        """The settled parts of a model, a window at a time, each `step` parts after the one before.

        What is written or deleted meanwhile moves the parts: then some are left to the next round.
        """
        retriever = self._retriever(key, self.database)
        skip, has_more = 0, True
        while has_more:
            parts, has_more = await retriever.fetch_window(skip, self._window)
            until = _ago(self._settle_s)
            yield [part for part in parts if part.updated_on <= until or part.folded_on is not None]
            skip += step

    async def _has_lease(self) -> bool:
        name, revisions = f"{self._design_doc}_folder", self.database.revisions
        if self._is_of_another(await revisions.read_local(name)):
            return False
        with contextlib.suppress(ConflictError):
            await revisions.write_local(name, {"holder": self._name, "until": _ago(-self._lease_s)})
        return True

    def _is_of_another(self, document: Document | None) -> bool:
        """Whether the document is a lease of another process. Anything else may be overwritten."""
        try:
            lease = msgspec.convert(document, _Lease)
        except msgspec.ValidationError:
            return False
        return lease.holder != self._name and now() < lease.until < _ago(-_LONGEST_LEASE * self._lease_s)


def _covered(parts: Sequence[P]) -> Iterator[tuple[P, P | None]]:
    """Each part, with a snapshot that stands for all its entries, if there is one.

    Of two equal snapshots the one with the smaller id stands for the other.
    """
    snapshots = [part for part in parts if part.folded_on is not None]
    for part in parts:
        yield part, next((each for each in snapshots if each is not part and _stands_for(each, part)), None)


def _stands_for(snapshot: AppendedModel, part: AppendedModel) -> bool:
    if not covers(snapshot.entries, part.entries):
        return False
    is_equal = part.folded_on is not None and covers(part.entries, snapshot.entries)
    return not is_equal or str(snapshot.id) < str(part.id)


def _ago(seconds: float) -> Timestamp:
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds")
