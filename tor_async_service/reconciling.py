"""A service that reconciles its database: it merges what was changed on several masters at the same time."""

from tor_async_couchdb.conflict_resolver import ConflictResolver
from tor_async_couchdb.model import Model
from tor_async_couchdb.reconciler import Reconciler
from tor_async_service.application import ServiceApplication


def reconcile(app: ServiceApplication, *model_classes: type[Model]) -> None:
    """Has the service reconcile documents of these types as long as it runs.

    `/_metrics` counts them, and asks the view `conflicts` how many documents are in conflict now.

    Raises:
        TypeError: a model does not say how one of its properties merges.
    """
    database = app.database
    resolver = ConflictResolver(model_classes, database=database)
    app.background_work.append(Reconciler(resolver, database=database).run)

    async def count_unresolved() -> None:
        rows = await database.query_view("conflicts", reduce=True)
        app.metrics.replication_conflicts.unresolved.set(rows[0].value if rows else 0)

    app.metrics_refreshers.append(count_unresolved)
