"""The context: which process leads, over HTTP, and the background work of leading."""

import os
import socket

from prometheus_client import Gauge

from tor_async_couchdb import Database
from tor_async_etcd import Client, EtcdError
from tor_async_service import Option, Parts, Problem, ServiceApplication, ServiceHandler, UnhealthyError, run
from tor_async_service.etcd.client import etcd_client

from .async_action import AsyncLeader, AsyncLeaderRetriever


class LeaderHandler(ServiceHandler):
    """The leader."""

    async def get(self) -> None:
        leader, counter = await AsyncLeaderRetriever(self.settings["etcd"]).fetch()
        name = None if leader is None else leader.value.decode()
        is_me = name == self.settings["name"]
        self.write_json({"leader": name, "is_me": is_me, "count": counter.count, "term": counter.term})


class LeadershipMetrics:
    """Whether this process leads, and in which term, as etcd says."""

    def __init__(self, name: str, client: Client) -> None:
        self._name = name
        self._client = client
        self._term = Gauge(
            "leader_term", "The term in which this process leads; 0: it does not.", registry=None
        )
        self.collectors = [self._term]

    async def refresh(self) -> None:
        """Asks etcd; called before a scraper is answered."""
        try:
            leader, _ = await AsyncLeaderRetriever(self._client).fetch()
        except EtcdError:
            leader = None
        is_me = leader is not None and leader.value.decode() == self._name
        self._term.set(leader.create_revision if is_me and leader else 0)


def make_app(database: Database, etcd: Client, parts: Parts | None = None) -> ServiceApplication:
    """The service on a database and an etcd, ready to listen."""
    name = f"{socket.gethostname()}:{os.getpid()}"

    async def check_etcd() -> None:
        try:
            await etcd.status()
        except EtcdError as error:
            raise UnhealthyError("unreachable") from error

    return ServiceApplication(
        [(r"/v1\.0/leader", LeaderHandler)],
        database,
        version="1.0.0",
        health_checks={"etcd": check_etcd},
        own_metrics=[LeadershipMetrics(name, etcd)],
        problems={EtcdError: Problem(503, "etcd can't be reached or is too slow. Try again later.")},
        background_work=[AsyncLeader(name, etcd).lead],
        settings={"etcd": etcd, "name": name},
        parts=parts,
    )


if __name__ == "__main__":
    run(
        make_app,
        "Leader: of all processes, exactly one leads.",
        Option("etcd", "URL", "the etcd to use", read=etcd_client),
    )
