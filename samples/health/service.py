"""The context: `/_health`, which every service has, with checks of this service's own."""

from tor_async_couchdb import Database
from tor_async_service import Parts, ServiceApplication, run

from .async_action import AsyncViewHealthChecker
from .model import NEEDED_VIEWS


def make_app(database: Database, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database, ready to listen."""
    checks = {view.name: AsyncViewHealthChecker(view, database).check for view in NEEDED_VIEWS}
    return ServiceApplication([], database, version="1.0.0", health_checks=checks, parts=parts)


if __name__ == "__main__":
    run(make_app, "Health: whether the service, and what it depends on, is well.")
