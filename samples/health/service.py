"""The context: `/_health`, which every service has, with checks of this service's own."""

from tor_async_couchdb.documents.database import Database
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.run import run

from .async_action import AsyncViewHealthChecker
from .model import NEEDED_VIEWS


def make_app(database: Database) -> ServiceApplication:
    """The service on a database, ready to listen."""
    app = ServiceApplication([], database, version="1.0.0")
    for view in NEEDED_VIEWS:
        app.health_checks[view.name] = AsyncViewHealthChecker(view, database=database).check
    return app


if __name__ == "__main__":
    run(make_app, "Health: is the service well, and what it depends on?")
