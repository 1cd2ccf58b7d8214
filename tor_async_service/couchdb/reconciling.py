"""Background work that reconciles a database: it merges changes that several masters made at one time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from prometheus_client import Gauge
from prometheus_client.registry import Collector

from tor_async_couchdb.conflicts.reconciler import Reconciler
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.history.auditor import Auditor
from tor_async_couchdb.history.masters_witness import MastersWitness
from tor_async_couchdb.history.witness import WitnessStore
from tor_async_couchdb.model import Model
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import Signer
from tor_async_service.app.options import GuardOptions, Option
from tor_async_service.couchdb.signing import OPTIONAL_KEY_SET, WITNESS
from tor_async_service.etcd.client import ETCD

if TYPE_CHECKING:
    from tor_async_etcd import Client

# By this name the witness knows the database.
MASTER = Option(
    "master", "NAME", "this database's name among the masters", is_optional=True, needs=OPTIONAL_KEY_SET.name
)


class Reconciling:
    """Background work of a service: it reconciles documents of these types as long as the service runs.

    With `etcd`, one process at a time reconciles this database. If the database's guard has a witness, each
    change is compared with it. `/_metrics` shows how many documents are in conflict, as the view `conflicts`
    says.

    Raises:
        TypeError: a model does not declare how one of its properties merges, or can't be witnessed.
    """

    def __init__(self, *model_classes: type[Model], database: Database, etcd: Client | None = None) -> None:
        self._database = database
        resolver = ConflictResolver(model_classes, database=database)
        audit = Auditor(model_classes, database=database).audit if database.guard.keeps_history else None
        reconciler = Reconciler(resolver, database=database, audit=audit)
        self._unresolved = Gauge(
            "replication_conflicts_unresolved", "Documents that are in conflict now.", registry=None
        )
        handled = Gauge(
            "replication_changes_handled_timestamp_seconds",
            "When the reconciler of this process last had handled all changes; 0 if never.",
            registry=None,
        )
        handled.set_function(lambda: reconciler.handled_at_s)
        self.collectors: Sequence[Collector] = [self._unresolved, handled]
        self.run = reconciler.run
        if etcd is not None:
            from tor_async_service.etcd.leading import LeadersWork  # only needed with etcd

            election = (
                f"tor_async_couchdb/reconciler/{quote(database.url, safe='')}/{','.join(resolver.types)}"
            )
            work = LeadersWork(reconciler.run, election.encode(), client=etcd)
            self.run = work.run
            self.collectors = [*self.collectors, *work.collectors]

    async def refresh(self) -> None:
        """Counts the documents that are in conflict."""
        rows = await self._database.query_view("conflicts", reduce=True)
        self._unresolved.set(rows[0].value if rows else 0)


def masters_guard(
    master: str | None = None, keyset: Signer | None = None, witness: WitnessStore | None = None
) -> Guard:
    """A guard that signs if there is a key set and, with a witness, also detects rollbacks and deletions.

    Raises:
        ValueError: there is a witness, which needs the name of the `master`, and no name.
    """
    if keyset is None:
        return Guard()
    if witness is None:
        return ProtectingGuard(signer=keyset)
    if master is None:
        raise ValueError("a witness needs the name of the master")
    return ProtectingGuard(signer=keyset, witness=MastersWitness(witness, keyset, master))


MASTERS = GuardOptions(
    (MASTER, OPTIONAL_KEY_SET, dataclasses.replace(WITNESS, needs=MASTER.name)), masters_guard
)

RECONCILING = (ETCD,)
