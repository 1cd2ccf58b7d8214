"""What faults can be played on: the parts of a run that can be harmed."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from suite.background import EventLoopThread
from suite.couchdb import CouchDB
from suite.database_keeper import DatabaseKeeper
from suite.errors import SuiteError
from suite.faults.link import Link
from suite.faults.masters import MastersLink
from suite.services import Service
from suite.supervision import Supervisor, repeated
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_etcd.testing import EtcdServer


@dataclass(frozen=True)
class Stage:
    """The parts of a run. A part that is None is not there, or is not the run's to harm."""

    supervisor: Supervisor
    couchdb: CouchDB
    keeper: DatabaseKeeper
    link: Link | None = None
    masters: MastersLink | None = None
    etcd: EtcdServer | None = None


@contextlib.contextmanager
def staged(
    services: Sequence[Service],
    logs: Path,
    couchdb: CouchDB,
    say: Callable[[str], None],
    *,
    loop: EventLoopThread,
    link: Link | None = None,
    etcd: EtcdServer | None = None,
) -> Iterator[Stage]:
    """Watches over services and database until the block ends; `say` gets a sentence for what happens.

    With `link` the services reach the database through its proxies.
    """
    with contextlib.ExitStack() as stack:
        supervisor = stack.enter_context(Supervisor(services, logs, say))
        keeper = DatabaseKeeper(couchdb, say)
        detour = None
        if link is not None and _is_here(couchdb.url):
            detour = stack.enter_context(Link([couchdb.url], loop))
        masters = _masters(services, couchdb, detour)
        if masters is not None:
            stack.callback(_end, masters)
        stack.enter_context(repeated(keeper.look))
        stack.enter_context(repeated(supervisor.look))
        yield Stage(supervisor, couchdb, keeper, link, masters, etcd)


def _is_here(url: str) -> bool:
    """Whether the server is on this machine, so that it can reach a proxy here."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _masters(services: Sequence[Service], couchdb: CouchDB, detour: Link | None) -> MastersLink | None:
    with_masters = [service for service in services if service.sample.masters]
    if not with_masters:
        return None
    sample = with_masters[0].sample
    urls = [service.command.database_url for service in with_masters]
    credentials = UserPassword(couchdb.username, couchdb.password)
    return MastersLink(sample.name, dict(zip(sample.masters, urls, strict=True)), credentials, detour)


def _end(masters: MastersLink) -> None:
    # The databases are deleted next: a replication that can't be ended now ends with them.
    with contextlib.suppress(SuiteError):
        masters.cut()
