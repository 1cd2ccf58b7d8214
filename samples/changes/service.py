"""The context: server-sent events to browsers, and a page that shows them."""

from pathlib import Path

from tor_async_couchdb import Database
from tor_async_service import EventStreamHandler, Parts, ServiceApplication, ServiceHandler, answers, run

from .async_action import AsyncFruitWatcher, fruit_feed

_PAGE = Path(__file__).with_name("page.html").read_bytes()
_START = "0"


class ChangesHandler(EventStreamHandler):
    """The latest state of each fruit, and then each change."""

    async def get(self) -> None:
        watcher = AsyncFruitWatcher(self.settings["feed"], self.last_event_id or _START)
        await self.write_events(watcher.watch())


class PageHandler(ServiceHandler):
    """A page that shows the fruits as they change."""

    @answers(200, str, media_types=["text/html"])
    async def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(_PAGE)


def make_app(database: Database, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database, ready to listen."""
    feed = fruit_feed(database)
    return ServiceApplication(
        [(r"/v1\.0/page", PageHandler), (r"/v1\.0/changes", ChangesHandler)],
        database,
        version="1.0.0",
        background_work=[feed.run],
        settings={"feed": feed},
        parts=parts,
    )


if __name__ == "__main__":
    run(make_app, "Changes: tells browsers of fruits that change.")
