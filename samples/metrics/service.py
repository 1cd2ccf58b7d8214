"""The context: `/_metrics`, which every service has, with a metric of this service's own."""

from prometheus_client import Gauge

from tor_async_couchdb.documents.database import Database
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.run import run

from .async_action import AsyncFruitCensusTaker


def make_app(database: Database) -> ServiceApplication:
    """The service on a database, ready to listen."""
    app = ServiceApplication([], database, version="1.0.0")
    gauge = Gauge("fruits", "Fruits, by their color.", ["color"], registry=app.metrics.registry)

    async def take_census() -> None:
        census = await AsyncFruitCensusTaker(database=database).take()
        gauge.clear()  # a color that no fruit has any more
        for color, count in census.count_by_color.items():
            gauge.labels(color).set(count)

    app.metrics_refreshers.append(take_census)
    return app


if __name__ == "__main__":
    run(make_app, "Metrics: the service, its database, and the fruits in it.")
