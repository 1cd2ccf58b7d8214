"""The documents that the library's tests store: things, and documents that are none."""

import base64
import uuid
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from tor_async_couchdb.actions.retrieve import (
    AsyncModelRetriever,
    AsyncModelRetrieverByDocumentID,
    AsyncModelsRetriever,
)
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.model.properties import ChangeCount, Immutable
from tor_async_couchdb.testing.couchdb import CouchDBServer

# A view of things, and of all other documents with a `key`, by any JSON value.
THING_BY_KEY = {
    "language": "javascript",
    "views": {"thing_by_key": {"map": "function(doc) { if ('key' in doc) { emit(doc.key, null); } }"}},
}

# How many a cluster keeps; one node ignores it.
_ALL_COPIES = "3"


class Thing(Model, tag="thing_v1.0"):
    """A model that is found by `key`, any JSON value."""

    key: Annotated[Any, Immutable()]
    count: Annotated[int, ChangeCount()] = 0


class ThingRetriever(AsyncModelRetriever[Thing]):
    """Finds a thing by its key."""


class ThingsRetriever(AsyncModelsRetriever[Thing]):
    """Finds things by a range of keys."""


class ThingByIDRetriever(AsyncModelRetrieverByDocumentID[Thing]):
    """Finds a thing by its document's id."""


def inline(content: bytes, **members: Any) -> dict[str, Any]:
    """An attachment with its content, as CouchDB takes it in a document."""
    return {"content_type": "text/plain", "data": base64.b64encode(content).decode()} | members


def content_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without the nonces of its writes."""
    return {name: value for name, value in document.items() if name != NONCES_PROPERTY_NAME}


class Documents:
    """The documents of a database, without the library and the proxy in between."""

    def __init__(self, couchdb: CouchDBServer, database_url: str) -> None:
        self._couchdb = couchdb
        self.name = database_url.rpartition("/")[2]

    def get(self, document_id: str, **options: str) -> dict[str, Any]:
        is_design = document_id.startswith("_design/")
        path = f"{self.name}/{quote(document_id, safe='/' if is_design else '')}"
        headers = {"Accept": "application/json"}  # else CouchDB answers with attachments as MIME parts
        answer = self._couchdb.succeed("GET", path, params={"r": _ALL_COPIES} | options, headers=headers)
        document: dict[str, Any] = answer.json()
        return document

    def content(self, document_id: str) -> dict[str, Any]:
        """The document without the nonces of its writes."""
        return content_of(self.get(document_id))

    def all(self) -> list[dict[str, Any]]:
        """All documents, including design documents."""
        rows = self._couchdb.succeed("GET", f"{self.name}/_all_docs?include_docs=true").json()["rows"]
        return [row["doc"] for row in rows]

    def put(self, **document: Any) -> dict[str, Any]:
        """Stores a document; returns it with its `_id` and `_rev`."""
        document = {"_id": uuid.uuid4().hex} | document
        [result] = self._write(json={"docs": [document]})
        return document | {"_rev": result["rev"]}

    def put_many(self, documents: list[dict[str, Any]]) -> None:
        """Stores documents."""
        self._write(json={"docs": documents})

    def put_json(self, *texts: str, new_edits: bool = True) -> None:
        """Stores documents, or revisions as replication does, that are JSON already."""
        text = f'{{"new_edits": {str(new_edits).lower()}, "docs": [{", ".join(texts)}]}}'
        self._write(data=text.encode(), headers={"Content-Type": "application/json"})

    def _write(self, **arguments: Any) -> Any:
        """CouchDB's answer once all copies have the documents: a view may be read from any of them."""
        options = {"w": _ALL_COPIES}
        return self._couchdb.succeed("POST", f"{self.name}/_bulk_docs", params=options, **arguments).json()

    def copies(self) -> int:
        """How many copies of each document CouchDB keeps: more than one on a cluster."""
        information = self._couchdb.succeed("GET", self.name).json()
        return int(information.get("cluster", {}).get("n", 1))

    def update_count(self) -> int:
        """The number of all updates; what follows it in a cluster's sequence says which copies were asked."""
        seq = self._couchdb.succeed("GET", self.name).json()["update_seq"]
        return int(str(seq).partition("-")[0])

    def put_leaves(self, leaves: list[dict[str, Any]]) -> None:
        """Stores revisions as replication does, whether they conflict or not."""
        self._write(json={"docs": leaves, "new_edits": False})

    def put_thing(self, key: Any, **properties: Any) -> dict[str, Any]:
        """Stores a thing that fits its model, but for `properties`."""
        return self.put(**{"type": "thing_v1.0", "key": key, "count": 0} | properties)

    def attach(self, document: dict[str, Any], **contents: bytes) -> dict[str, Any]:
        """Stores a document's attachments beside those that it has; the document as it is then."""
        attachments = document.get("_attachments", {}) | {
            name: inline(content) for name, content in contents.items()
        }
        self.put(**document | {"_attachments": attachments})
        return self.get(document["_id"])

    def attachments(self, document_id: str, **options: str) -> dict[str, bytes]:
        """The contents of a document's attachments, by name."""
        document = self.get(document_id, attachments="true", **options)
        stored = document.get("_attachments", {})
        return {name: base64.b64decode(attachment["data"]) for name, attachment in stored.items()}

    def delete(self, document: dict[str, Any]) -> None:
        self.put(_id=document["_id"], _rev=document["_rev"], _deleted=True)

    def put_view(self) -> None:
        self.put(_id="_design/thing_by_key", **THING_BY_KEY)

    def count(self) -> int:
        """The number of documents."""
        return int(self._couchdb.succeed("GET", self.name).json()["doc_count"])
