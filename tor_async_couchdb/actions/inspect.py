"""Actions on a database as a whole: its health, and the sizes of it and of its views."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import NoMajorityError, NotFoundError


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """`data_size` bytes of the `disk_size` bytes in the file are in use; None where CouchDB does not say."""

    data_size: int | None
    disk_size: int | None

    @classmethod
    def from_information(cls, information: Mapping[str, Any]) -> Self:
        """From CouchDB's information about a database or a view's index (CouchDB 2 and later: `sizes`)."""
        sizes = information.get("sizes", {})
        return cls(data_size=sizes.get("active"), disk_size=sizes.get("file"))

    @property
    def fragmentation(self) -> int | None:
        """The percentage of the file that compaction would free; None if it is not known."""
        if self.data_size is None or self.disk_size is None:
            return None
        if self.disk_size == 0:
            return 0
        # CouchDB's sizes are estimates: a small file can be smaller than its data.
        return max(0, round(100 * (self.disk_size - self.data_size) / self.disk_size))


@dataclasses.dataclass(frozen=True, slots=True)
class ViewMetrics:
    """The size of one design document's index."""

    design_doc: str
    sizes: Sizes


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseMetrics:
    """The sizes of a database and of its views; `doc_count` includes design documents."""

    database: str
    doc_count: int
    sizes: Sizes
    view_metrics: Sequence[ViewMetrics]


class AsyncCouchDBHealthCheck(AsyncAction):
    """Asks CouchDB whether the database exists and whether it accepts the credentials.

    On a cluster it also writes a `_local` document, as nothing else shows whether enough nodes are up.
    """

    async def check(self) -> None:
        """Returns if all is well.

        Raises:
            NotFoundError: there is no such database.
            UnauthorizedError, ForbiddenError: CouchDB refuses the credentials.
            NoMajorityError: most of a cluster's nodes are down.
            TransportError: CouchDB can't be reached.
        """
        information = await self.database.information()
        copies = information.get("cluster", {}).get("n", 1)
        if copies > 1 and not await self.database.has_majority():
            raise NoMajorityError(self.database.name, copies)


class AsyncViewMetricsRetriever(AsyncAction):
    """Reads the size of one design document's index."""

    def __init__(self, design_doc: str, *, database: Database) -> None:
        super().__init__(database=database)
        self._design_doc = design_doc

    async def fetch(self) -> ViewMetrics:
        """The metrics; NotFoundError if there is no such design document."""
        information = await self.database.view_information(self._design_doc)
        return ViewMetrics(self._design_doc, Sizes.from_information(information))


class AsyncAllViewMetricsRetriever(AsyncAction):
    """Reads the sizes of the indexes of all design documents."""

    async def fetch(self) -> list[ViewMetrics]:
        """The metrics in the order of the design documents' names, without those deleted meanwhile."""
        metrics = []
        # One request at a time: metrics are not worth a burst, however many views there are.
        for name in await self.database.design_doc_names():
            with contextlib.suppress(NotFoundError):
                metrics.append(await AsyncViewMetricsRetriever(name, database=self.database).fetch())
        return metrics


class AsyncDatabaseMetricsRetriever(AsyncAction):
    """Reads the sizes of a database and of all its views."""

    async def fetch(self) -> DatabaseMetrics:
        """The metrics as they are now."""
        information = await self.database.information()
        return DatabaseMetrics(
            database=self.database.name,
            doc_count=information["doc_count"],
            sizes=Sizes.from_information(information),
            view_metrics=await AsyncAllViewMetricsRetriever(database=self.database).fetch(),
        )
