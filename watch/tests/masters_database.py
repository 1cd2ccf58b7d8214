"""Two databases that a test writes revisions into, as replication would."""

import contextlib
from collections.abc import Iterator

from tor_async_couchdb.testing.couchdb import CouchDBServer
from watch.tests.fake_run import FakeRun

_ID = "fruit-of-both"


class MastersDatabase:
    """East and west of a run."""

    def __init__(self, couchdb: CouchDBServer, urls: dict[str, str]) -> None:
        self._couchdb = couchdb
        self._names = {name: url.rpartition("/")[2] for name, url in urls.items()}

    def insert(self, master: str, *path: str, color: str = "red", is_deleted: bool = False) -> None:
        """Inserts a revision, the first of `path`, which goes back to the root."""
        ids = [rev.partition("-")[2] for rev in path]
        start = int(path[0].partition("-")[0])
        revisions = {"start": start, "ids": ids}
        state = {"_deleted": True} if is_deleted else {"color": color}
        document = {"_id": _ID, "_rev": path[0], "_revisions": revisions, **state}
        body = {"new_edits": False, "docs": [document]}
        self._couchdb.succeed("POST", f"{self._names[master]}/_bulk_docs", json=body)


@contextlib.contextmanager
def masters_of(run: FakeRun, couchdb: CouchDBServer) -> Iterator[MastersDatabase]:
    """Gives the run two masters for the block."""
    with couchdb.new_database() as east, couchdb.new_database() as west:
        urls = {"east": east, "west": west}
        run.database |= {"url": couchdb.url, "username": couchdb.username, "password": couchdb.password}
        run.masters = {"sample": "crud/multi_master", "databases": urls, "link": "up"}
        yield MastersDatabase(couchdb, urls)
        run.masters = None
