"""The fruits that a benchmark asks for: made before it starts, and counted when it has ended."""

import time
from collections.abc import Callable

from samples.crud.basic.model import Fruit
from suite.couchdb import CouchDB
from suite.errors import SuiteError

_SETTLE_S = 0.5
_SETTLE_TIMEOUT_S = 40.0  # longer than the deadline of a service's request


class Fruits:
    """`count` new fruits in a database, indexed."""

    def __init__(self, couchdb: CouchDB, database_url: str, count: int) -> None:
        self._couchdb = couchdb
        self.database = database_url.rpartition("/")[2]
        fruits = [Fruit.create("red") for _ in range(count)]
        self.ids = [fruit.fruit_id for fruit in fruits]
        docs = [fruit.as_doc_for_store() for fruit in fruits]
        with couchdb.connect() as server:
            written = server.ask("POST", self.database, "_bulk_docs", body={"docs": docs})
            view = ("_design", "fruit_by_fruit_id", "_view", "fruit_by_fruit_id")
            server.ask("GET", self.database, *view, query={"limit": "1"})
        self._document_ids: list[str] = [entry["id"] for entry in written]

    def settled_change_count(self) -> int:
        """The sum of all change counts; raises as `settled` does."""
        return settled(self._change_count)

    def _change_count(self) -> int:
        with self._couchdb.connect() as server:
            body = {"keys": self._document_ids}
            query = {"include_docs": "true"}
            answer = server.ask("POST", self.database, "_all_docs", query=query, body=body)
        return sum(row["doc"]["change_count"] for row in answer["rows"])


def settled(change_count: Callable[[], int]) -> int:
    """What it counts once that has stopped growing: wrk leaves without its last answers.

    Raises:
        SuiteError: it still grows when all requests must have ended.
    """
    deadline_s = time.monotonic() + _SETTLE_TIMEOUT_S
    before, after = -1, change_count()
    while before != after:
        if time.monotonic() > deadline_s:
            raise SuiteError(f"Fruits still change {_SETTLE_TIMEOUT_S:.0f} s after the load has ended.")
        time.sleep(_SETTLE_S)
        before, after = after, change_count()
    return after


def check_changes(name: str, growth: int, *, at_least: int, at_most: int) -> None:
    """Makes sure that the database has the changes that were acknowledged, and no more than were sent.

    Raises:
        SuiteError: changes were lost, or made that nobody sent.
    """
    if not at_least <= growth <= at_most:
        raise SuiteError(
            f"{name}: {at_least} changes were acknowledged and {at_most} sent, "
            f"but the change counts in the database grew by {growth}."
        )
