"""A service that reconciles its database: it merges what was changed on several masters at the same time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from tor_async_couchdb.conflicts.reconciler import Audit, Reconciler
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.history.auditor import Auditor
from tor_async_couchdb.history.masters_witness import MastersWitness
from tor_async_couchdb.history.witness import WitnessStore
from tor_async_couchdb.model.model import Model
from tor_async_couchdb.protection.signing import Signer
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.options import Option
from tor_async_service.couchdb.signing import KEY_SET, WITNESS
from tor_async_service.etcd.client import ETCD

if TYPE_CHECKING:
    from tor_async_etcd import Client

RECONCILING = (
    Option("master", "NAME", "this database's name among them"),
    ETCD,
    dataclasses.replace(KEY_SET, is_optional=True),
    dataclasses.replace(WITNESS, needs="keyset"),
)


def reconcile(
    app: ServiceApplication,
    *model_classes: type[Model],
    master: str,
    etcd: Client | None = None,
    keyset: Signer | None = None,
    witness: WitnessStore | None = None,
) -> None:
    """Has the service reconcile documents of these types as long as it runs.

    With `etcd` only one of all processes that are given it does, and the same database, at a time. With a
    `keyset` documents are signed, and with a `witness` too what changes is compared with it.

    `/_metrics` counts them, and asks the view `conflicts` how many documents are in conflict now.

    Raises:
        TypeError: a model does not say how one of its properties merges, or can't be witnessed.
    """
    database = app.database
    resolver = ConflictResolver(model_classes, database=database)
    if keyset is not None:
        database.tampering_signer = keyset
        if witness is not None:
            database.witness = MastersWitness(witness, keyset, master, database=database)
    reconciler = Reconciler(resolver, database=database, audit=_audit_of(database, model_classes))
    election = f"tor_async_couchdb/reconciler/{quote(database.url, safe='')}/{','.join(resolver.types)}"
    _add_work(app, reconciler, election, etcd)
    app.metrics_refreshers.append(functools.partial(_count_unresolved, app))


def _audit_of(database: Database, model_classes: Sequence[type[Model]]) -> Audit | None:
    witness = database.witness
    if not isinstance(witness, MastersWitness):
        return None
    return Auditor(model_classes, witness, database=database).audit


async def _count_unresolved(app: ServiceApplication) -> None:
    rows = await app.database.query_view("conflicts", reduce=True)
    app.metrics.replication_conflicts.unresolved.set(rows[0].value if rows else 0)


def _add_work(app: ServiceApplication, reconciler: Reconciler, election: str, etcd: Client | None) -> None:
    if etcd is None:
        app.background_work.append(reconciler.run)
        return
    from tor_async_service.etcd.leading import LeadersWork  # only who uses etcd needs it

    work = LeadersWork(reconciler.run, election.encode(), client=etcd, registry=app.metrics.registry)
    app.background_work.append(work.run)
