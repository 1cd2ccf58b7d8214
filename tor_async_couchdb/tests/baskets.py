"""The documents of the tests of conflicts: baskets, with conflicting revisions."""

from typing import Annotated, Any

from tor_async_couchdb.conflicts.plan import child
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import (
    Counter,
    Immutable,
    Latest,
    LatestBy,
    OnDeleteConflict,
    Superseded,
)
from tor_async_couchdb.protection import signing
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.things import Documents


class Basket(Model, tag="basket_v1.0"):
    key: Annotated[str, Immutable()]
    color: Annotated[str, LatestBy("updated_on")]
    superseded: Annotated[dict[str, int], Superseded("color")]
    updated_on: Annotated[int, Latest()]
    change_counts: Annotated[dict[str, int], Counter()]


class FragileBasket(Basket, tag="fragile_basket_v1.0"):
    on_delete_conflict = OnDeleteConflict.KEEP_DELETION


RED = {"color": "red", "updated_on": 1, "change_counts": {"east": 2}}
BLUE = {"color": "blue", "updated_on": 2, "change_counts": {"east": 1, "west": 1}}
MERGED = {"color": "blue", "updated_on": 2, "change_counts": {"east": 2, "west": 1}, "superseded": {"red": 1}}


def body(**properties: Any) -> Document:
    """The document of a basket, with other `properties`."""
    return {"type": "basket_v1.0", "key": "k", "superseded": {}} | RED | properties


class Conflicts:
    """Makes conflicts in a database, as replication does."""

    def __init__(self, database: Database, documents: Documents, couchdb: CouchDBServer) -> None:
        self._database = database
        self.documents = documents
        self._couchdb = couchdb

    async def make(self, *bodies: Document) -> str:
        """Stores a document whose leaves have these bodies; returns its id."""
        base = self.documents.put(**body())
        await self._database.revisions.insert([child(base, each) for each in bodies])
        return str(base["_id"])

    async def make_signed(self, signer: signing.Signer, *bodies: Document) -> str:
        """Stores a document with signed leaves of these bodies; returns its id."""
        base = self.documents.put(**body())
        signed = [signing.sign(signer, each | {"_id": base["_id"]}) for each in bodies]
        await self._database.revisions.insert([child(base, each) for each in signed])
        return str(base["_id"])

    def all_leaves(self, document_id: str) -> list[Document]:
        """The leaves of a document, tombstones included, by revision."""
        answer = self._couchdb.succeed(
            "GET",
            f"{self.documents.name}/{document_id}",
            params={"open_revs": "all"},
            headers={"Accept": "application/json"},
        )
        return sorted((row["ok"] for row in answer.json()), key=lambda leaf: str(leaf["_rev"]))

    def live_leaves(self, document_id: str) -> list[Document]:
        return [leaf for leaf in self.all_leaves(document_id) if "_deleted" not in leaf]
