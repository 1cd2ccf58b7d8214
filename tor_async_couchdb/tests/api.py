"""Uses all that `tor_async_couchdb` offers as a service does. mypy checks it; it never runs."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from tor_async_couchdb import (
    AddsWin,
    Appended,
    AppendedModel,
    AsyncAllViewMetricsRetriever,
    AsyncAppender,
    AsyncConditionalCommitter,
    AsyncCouchDBHealthCheck,
    AsyncDatabaseMetricsRetriever,
    AsyncDeleter,
    AsyncFirstPersister,
    AsyncFolder,
    AsyncGroupCommitter,
    AsyncLastingDeleter,
    AsyncLastingModelRetriever,
    AsyncMergedModelRetriever,
    AsyncMergedModelsRetriever,
    AsyncModelRetriever,
    AsyncModelRetrieverByDocumentID,
    AsyncModelsRetriever,
    AsyncPartsPagesRetriever,
    AsyncPartsRetriever,
    AsyncPersister,
    AsyncViewMetricsRetriever,
    AsyncViewRetriever,
    BasicLogin,
    Batch,
    Change,
    ChangeCount,
    ChangedError,
    ChangeNamer,
    ChangeSet,
    ConflictError,
    ConflictResolver,
    ConnectError,
    CouchDBError,
    CountedOnce,
    Counter,
    Cursor,
    Database,
    DatabaseMetrics,
    Document,
    DocumentRefusedError,
    Entry,
    Follower,
    ForbiddenError,
    Immutable,
    InvalidDocumentError,
    Journal,
    KeyReusedError,
    KeysFullError,
    KeyUse,
    Latest,
    LatestBy,
    Login,
    MergedBy,
    Model,
    NoMajorityError,
    NotFoundError,
    Observer,
    OnDeleteConflict,
    OutcomeUnknownError,
    Page,
    Pause,
    Reconciler,
    ResponseError,
    RetryBudget,
    RetryStrategy,
    Row,
    SecretFile,
    SessionLogin,
    SharedFeed,
    Sizes,
    Superseded,
    Timestamp,
    TokenLogin,
    TooLargeError,
    TransportError,
    UnauthorizedError,
    UniqueKey,
    UnmergeableError,
    UsedKey,
    ViewMetrics,
    count_changes,
    decorrelated_jitter,
    earlier_use,
    equal_jitter,
    exponential,
    fixed,
    full_jitter,
    immediately,
    next_after,
    now,
    retry,
    with_change,
    with_key,
)


def longest(texts: Sequence[str]) -> str:
    """A merge function."""
    return max(texts, key=len)


class Fruit(Model, tag="fruit_v1.0"):
    """A model that declares everything that a property can declare without protection."""

    on_delete_conflict = OnDeleteConflict.KEEP_DELETION

    fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id")]
    origin: Annotated[str, Immutable()]
    color: Annotated[str, LatestBy("updated_on")]
    former_colors: Annotated[list[dict[str, Any]], Superseded("color")]
    notes: Annotated[str, MergedBy(longest)]
    labels: Annotated[list[str], AddsWin()]
    updated_on: Annotated[Timestamp, Latest()]
    sales: Annotated[dict[str, int], Counter()]
    changes: Annotated[ChangeSet, CountedOnce()]
    change_count: Annotated[int, ChangeCount(), Latest()] = 0

    def change_color(self, color: str) -> "Fruit":
        """A copy in another color."""
        return self.replace(color=color, updated_on=next_after(self.updated_on))

    def change(self, namer: ChangeNamer) -> int:
        """How many changes a copy with one more has."""
        return count_changes(with_change(self.changes, namer.name(self.fruit_id)))


def new_fruit() -> Fruit:
    """A model is made with keywords; `id` and `rev` come from CouchDB."""
    fruit = Fruit(
        fruit_id="a",
        origin="Chile",
        color="red",
        former_colors=[],
        notes="",
        labels=[],
        updated_on=now(),
        sales={},
        changes={},
    )
    document: Document = fruit.as_doc_for_store()
    shown: dict[str, Any] = Fruit.from_doc(document).representation()
    return fruit.replace(notes=str(shown))


class FruitRetriever(AsyncModelRetriever[Fruit]):
    """Finds a fruit by its id."""

    def __init__(self, fruit_id: str, database: Database) -> None:
        super().__init__("fruit_by_fruit_id", fruit_id, database=database)


class LastingFruitRetriever(AsyncLastingModelRetriever[Fruit]):
    """Finds a fruit by its document's id, also after it was deleted."""


async def repeat(database: Database, used_keys: Sequence[UsedKey]) -> Fruit:
    """A change under a key, and a model that is created and deleted once."""
    use = KeyUse(key="a", fingerprint="b")
    try:
        if earlier_use(used_keys, use) is None:
            with_key(used_keys, UsedKey(*use, now(), 1), window_s=300.0, max_keys=100)
    except (KeyReusedError, KeysFullError):
        pass
    retriever = LastingFruitRetriever("a", database=database)
    first: Fruit = await AsyncFirstPersister(new_fruit().replace(id="a"), retriever).persist()
    await AsyncLastingDeleter(first, database=database).delete()
    found: Fruit | None = await retriever.fetch_also_deleted()
    return found or first


class Ripening(AppendedModel, tag="ripening_v1.0"):
    """A change of a fruit."""

    fruit_id: str


class RipeningRetriever(AsyncPartsRetriever[Ripening]):
    """Finds what all changes of a fruit are together."""

    def __init__(self, fruit_id: str, database: Database) -> None:
        super().__init__("ripening_by_fruit_id", fruit_id, update="lazy", database=database)


class RipeningsRetriever(AsyncPartsPagesRetriever[Ripening]):
    """The same of all fruits."""


async def ripen(database: Database, journal: Journal) -> int:
    """A change is appended; a folder keeps the changes few."""

    def ripening(entry: Entry) -> Ripening:
        return Ripening(fruit_id="a", **Ripening.properties_of(entry))

    appender = AsyncAppender(RipeningRetriever("a", database), journal)
    await appender.begin(ripening)
    appended: Appended[Ripening] | None = await appender.append(ripening)
    await AsyncFolder(RipeningRetriever, database=database, max_parts=50).run()
    all_of_them: list[Ripening] = await RipeningsRetriever("ripening_by_fruit_id", database=database).fetch()
    return appended.after.entry_count if appended else len(all_of_them)


class FruitByDocumentIDRetriever(AsyncModelRetrieverByDocumentID[Fruit]):
    """Finds a fruit by its document's id."""


class FruitsRetriever(AsyncModelsRetriever[Fruit]):
    """Finds fruits by a range of ids."""


class MergedFruitRetriever(AsyncMergedModelRetriever[Fruit]):
    """Finds a fruit and resolves its conflicts."""


class MergedFruitsRetriever(AsyncMergedModelsRetriever[Fruit]):
    """Finds fruits and resolves their conflicts."""


class LastFruitRetriever(AsyncViewRetriever[Fruit]):
    """A query of one's own."""

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        """The options of the view."""
        return {"descending": True, "limit": 1}


async def read(database: Database) -> Sequence[Fruit]:
    """Retrievers know the class of their models."""
    one: Fruit | None = await FruitRetriever("a", database).fetch()
    by_id: Fruit | None = await FruitByDocumentIDRetriever("0a", database=database).fetch()
    some: list[Fruit] = await FruitsRetriever("fruit_by_fruit_id", "a", "b", database=database).fetch()
    retriever = FruitsRetriever("fruit_by_fruit_id", limit=7, skip=1, descending=True, database=database)
    page: Page[Fruit] = await retriever.fetch_page(10)
    place: Cursor | None = page.next
    next_page = await retriever.fetch_page(10, place)
    merged: Fruit | None = await MergedFruitRetriever("fruit_by_fruit_id", "a", database=database).fetch()
    all_merged: list[Fruit] = await MergedFruitsRetriever("fruit_by_fruit_id", database=database).fetch()
    fruits = [fruit for fruit in (one, by_id, merged) if fruit is not None]
    return [*fruits, *some, *page.models, *next_page.models, *all_merged]


class FruitPainter:
    """An action whose lost races are retried."""

    def __init__(self, fruit_id: str, database: Database) -> None:
        self.fruit_id = fruit_id
        self.database = database

    @retry(full_jitter(), max_retries=5)
    async def paint(self, color: str) -> Fruit | None:
        """The painted fruit, or None if there is none."""
        fruit = await FruitRetriever(self.fruit_id, self.database).fetch()
        if fruit is None:
            return None
        return await AsyncPersister(fruit.change_color(color), database=self.database).persist()

    @retry()
    async def delete(self) -> None:
        """Deletes the fruit."""
        fruit = await FruitRetriever(self.fruit_id, self.database).fetch()
        if fruit is not None:
            await AsyncDeleter(fruit, database=self.database).delete()


async def follow(database: Database) -> None:
    """A follower hands on changes; a shared feed has many readers."""

    async def handle(changes: Sequence[Change]) -> None:
        assert all(change.deleted or (change.doc and change.error is None) for change in changes)

    await Follower("a", handle, database=database, wants=lambda change: not change.deleted).run()
    feed = SharedFeed(lambda changes: [change.rev for change in changes], database=database)
    batch: Batch[list[str]]
    async for batch in feed.batches():
        assert len(batch.content) == batch.count


async def write(database: Database) -> Fruit | None:
    """A decorated method keeps its arguments and its result."""
    await AsyncPersister(new_fruit(), database=database).persist()
    painted: Fruit | None = await FruitPainter("a", database).paint("blue")
    await FruitPainter("a", database).delete()
    committed: Fruit | None = await AsyncGroupCommitter(FruitRetriever("a", database)).commit(
        lambda fruit: fruit.change_color("green")
    )
    await AsyncGroupCommitter(FruitRetriever("a", database)).commit(lambda fruit: None)
    conditional: AsyncConditionalCommitter[Fruit] = AsyncConditionalCommitter(FruitRetriever("a", database))
    try:
        created: Fruit = await conditional.create(new_fruit().replace(id="a"))
    except ChangedError as error:
        created = error.current
    await conditional.commit(lambda fruit: fruit.change_color("red"), if_so=lambda fruit: fruit == created)
    return painted or committed


PAUSES: list[Pause] = [
    immediately,
    fixed(pause_s=0.1),
    exponential(base_s=0.1, cap_s=1),
    full_jitter(base_s=0.1, cap_s=1),
    equal_jitter(base_s=0.1, cap_s=1),
    decorrelated_jitter(base_s=0.1, cap_s=1),
]


async def try_again(database: Database) -> str:
    """A strategy runs any coroutine function."""
    strategy = RetryStrategy(
        PAUSES[0],
        max_retries=None,
        retry_if=lambda error: isinstance(error, ConnectError | OutcomeUnknownError),
        budget=RetryBudget(max_tokens=10, tokens_per_success=0.5),
    )
    return await strategy.run(database.new_document_id, observer=database.observer)


class Printer(Observer):
    """An observer overrides what it wants to learn."""

    def write_conflicted(self) -> None:
        """See `Observer.write_conflicted`."""

    def retried(self, pause_s: float) -> None:
        """See `Observer.retried`."""


async def measure(database: Database) -> tuple[DatabaseMetrics, Sequence[ViewMetrics], Sizes]:
    """Health and metrics of a database."""
    await AsyncCouchDBHealthCheck(database=database).check()
    metrics = await AsyncDatabaseMetricsRetriever(database=database).fetch()
    view: ViewMetrics = await AsyncViewMetricsRetriever("fruit_by_fruit_id", database=database).fetch()
    views: list[ViewMetrics] = await AsyncAllViewMetricsRetriever(database=database).fetch()
    return metrics, [view, *views], view.sizes


async def rows(database: Database) -> list[Row]:
    """Documents and views as dictionaries."""
    rev: str = await database.save({"_id": "a"})
    await database.delete("a", rev)
    return await database.query_view("fruit_by_fruit_id", key="a")


def meaning(error: CouchDBError) -> str:
    """The tree of errors, from its leaves to its root."""
    match error:
        case DocumentRefusedError():
            return f"{error.document_id}: {error.reason}"
        case UnauthorizedError() | ForbiddenError() | NotFoundError() | ConflictError() | TooLargeError():
            return error.reason
        case ResponseError():
            return f"{error.status}"
        case NoMajorityError():
            return "most copies are down"
        case UnmergeableError() | InvalidDocumentError():
            return f"{error.document_id}"
        case TransportError():
            return f"again in {error.retry_after_s} s"
        case _:
            return "another error"


def logins() -> list[Login]:
    """Who makes the requests; each secret is a text, or in a file that may be replaced."""
    password = SecretFile("/run/secrets/password")
    return [BasicLogin("user", password), SessionLogin("user", password), TokenLogin("eyJ...")]


async def main() -> None:
    """The parts of a database are given to its constructor."""
    async with Database(
        "http://127.0.0.1:5984/fruits",
        login=logins()[0],
        observer=Printer(),
        retry_budget=RetryBudget(),
        timeout_s=5,
    ) as database:
        own = database.observed_by(Printer())
        await asyncio.gather(read(own), write(own), measure(own), rows(own), try_again(own))
        await Reconciler(ConflictResolver([Fruit], database=database), database=database, settle_s=1).run()
