"""The context: the work of the one process that sends, and a receiver to try it with."""

import collections

import msgspec
import yarl
from prometheus_client import Gauge

from tor_async_couchdb import Database, Follower
from tor_async_etcd import Client
from tor_async_service import Option, Parts, ServiceApplication, ServiceHandler, run
from tor_async_service.etcd.client import etcd_client
from tor_async_service.etcd.leading import LeadersWork

from .async_action import AsyncNoticeSender
from .model import CHECKPOINT, ELECTION, Notice, is_told

_SHOWN = 10


class NoticesHandler(ServiceHandler):
    """A receiver, so that there is one to try the outbox with. It keeps the last notices in memory."""

    async def post(self) -> None:
        self.settings["received"].append(self.json_body(Notice))
        self.set_status(204)

    async def get(self) -> None:
        self.write_json(msgspec.to_builtins(list(self.settings["received"])))


class OutboxMetrics:
    """What became of the notices, how many changes are left, and whether this process sends."""

    def __init__(self, sender: AsyncNoticeSender, follower: Follower, work: LeadersWork) -> None:
        pending = Gauge("outbox_pending", "About how many changes are left to send.", registry=None)
        pending.set_function(lambda: follower.pending)
        self.collectors = [sender.notices, pending, *work.collectors]

    async def refresh(self) -> None:
        """Called before a scraper is answered; the metrics are up to date."""


def make_app(
    database: Database, etcd: Client, webhook: str, parts: Parts | None = None
) -> ServiceApplication:
    """The service on a database, an etcd and a webhook, ready to listen."""
    sender = AsyncNoticeSender(webhook, database)
    # The checkpoint follows the work: what a process sent before it was killed is sent again, never left out.
    follower = Follower(
        CHECKPOINT, sender.send_all, database=database, wants=is_told, checkpoint_interval_s=1.0
    )
    work = LeadersWork(follower.run, ELECTION, client=etcd)
    return ServiceApplication(
        [(r"/v1\.0/notices", NoticesHandler)],
        database,
        version="1.0.0",
        own_metrics=[OutboxMetrics(sender, follower, work)],
        background_work=[work.run],
        settings={"received": collections.deque(maxlen=_SHOWN)},
        parts=parts,
    )


def webhook_url(text: str) -> str:
    """The text, if it is the URL of a webhook; else ValueError."""
    url = yarl.URL(text)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("a webhook's URL is http[s]://host:port/path")
    return text


if __name__ == "__main__":
    run(
        make_app,
        "Outbox: tells a webhook of each document that changes.",
        Option("etcd", "URL", "etcd that elects which process sends", read=etcd_client),
        Option("webhook", "URL", "where each document that changes is sent to", read=webhook_url),
    )
