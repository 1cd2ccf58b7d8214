"""The context: `/_metrics`, which every service has, with a metric of this service's own."""

from prometheus_client import Gauge

from tor_async_couchdb import Database
from tor_async_service import Parts, ServiceApplication, run

from .async_action import AsyncFruitCensusTaker


class FruitMetrics:
    """The number of fruits of each color, as a gauge."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fruits = Gauge("fruits", "Fruits, by their color.", ["color"], registry=None)
        self.collectors = [self._fruits]

    async def refresh(self) -> None:
        """Counts the fruits; called before a scraper is answered."""
        census = await AsyncFruitCensusTaker(self._database).take()
        self._fruits.clear()  # drops colors that no fruit has any more
        for color, count in census.count_by_color.items():
            self._fruits.labels(color).set(count)


def make_app(database: Database, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database, ready to listen."""
    return ServiceApplication(
        [], database, version="1.0.0", own_metrics=[FruitMetrics(database)], parts=parts
    )


if __name__ == "__main__":
    run(make_app, "Metrics: the service, its database, and the fruits in it.")
