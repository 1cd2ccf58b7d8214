"""The context: who leads, over HTTP, and the work of leading beside it."""

import os
import socket

from tor_async_couchdb.documents.database import Database
from tor_async_etcd import Client, EtcdError
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.options import Option
from tor_async_service.app.run import run
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.http.problems import Problem
from tor_async_service.operations.health import UnhealthyError

from .async_action import AsyncLeader, AsyncLeaderRetriever


class LeaderHandler(ServiceHandler):
    """The leader."""

    async def get(self) -> None:
        leader, counter = await AsyncLeaderRetriever(client=self.settings["etcd"]).fetch()
        name = None if leader is None else leader.value.decode()
        is_me = name == self.settings["name"]
        self.write_json({"leader": name, "is_me": is_me, "count": counter.count, "term": counter.term})


def make_app(database: Database, etcd: str) -> ServiceApplication:
    """The service on a database and an etcd, ready to listen."""
    client = Client(etcd)
    name = f"{socket.gethostname()}:{os.getpid()}"
    app = ServiceApplication([(r"/v1\.0/leader", LeaderHandler)], database, version="1.0.0")
    app.settings.update(etcd=client, name=name)
    app.problems[EtcdError] = Problem(503, "etcd can't be reached or is too slow. Try again later.")
    app.background_work.append(AsyncLeader(name, client=client).lead)

    async def check_etcd() -> None:
        try:
            await client.status()
        except EtcdError as error:
            raise UnhealthyError("unreachable") from error

    app.health_checks["etcd"] = check_etcd
    return app


if __name__ == "__main__":
    run(make_app, "Leader: of all processes, exactly one leads.", Option("etcd", "URL", "the etcd to use"))
