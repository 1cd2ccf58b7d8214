"""What the installer does with one database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from tor_async_couchdb.errors import NotFoundError
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.server import Server, one_line

Document = dict[str, Any]

# https://docs.couchdb.org/en/stable/api/database/common.html#put--db
_NAME = re.compile(r"[a-z][a-z0-9_$()+/-]*")


class Database:
    """One database of a server, which need not exist.

    Raises:
        InstallerError: CouchDB takes no such name.
    """

    def __init__(self, server: Server, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise InstallerError(
                f"database name '{name}': it must begin with a lower case letter and hold only lower case"
                " letters, digits and _ $ ( ) + - /"
            )
        self.server = server
        self.name = name

    def __str__(self) -> str:
        return f"database '{self.name}' on '{self.server.host}'"

    def exists(self) -> bool:
        """Whether the database is there."""
        try:
            self.server.ask("GET", self.name)
        except NotFoundError:
            return False
        return True

    def create(self) -> None:
        """Creates the database."""
        self.server.ask("PUT", self.name)

    def delete(self) -> None:
        """Deletes the database with all that is in it."""
        self.server.ask("DELETE", self.name)

    def fetch(self, document_ids: Iterable[str]) -> dict[str, Document]:
        """Those of the documents that exist, by their ids."""
        answer = self.server.ask(
            "POST",
            self.name,
            "_all_docs",
            query={"include_docs": "true"},
            body={"keys": list(document_ids)},
        )
        return {row["key"]: row["doc"] for row in answer["rows"] if row.get("doc") is not None}

    def count_documents(self) -> int:
        """How many documents there are, those of design among them."""
        return int(self.server.ask("GET", self.name)["doc_count"])

    def document_ids(self, after: str | None, limit: int) -> list[str]:
        """The ids of the first `limit` documents that come after one, in CouchDB's order."""
        query = {"limit": str(limit + 1)}
        if after is not None:
            query["startkey"] = json.dumps(after)
        rows = self.server.ask("GET", self.name, "_all_docs", query=query)["rows"]
        return [row["id"] for row in rows if row["id"] != after][:limit]

    def fetch_leaves(self, document_ids: Iterable[str]) -> list[Document]:
        """All leaf revisions of the documents, deleted ones among them.

        https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-get
        """
        wanted = [{"id": document_id} for document_id in document_ids]
        answer = self.server.ask("POST", self.name, "_bulk_get", body={"docs": wanted})
        return [leaf["ok"] for found in answer["results"] for leaf in found["docs"] if "ok" in leaf]

    def write(self, documents: Iterable[Document]) -> dict[str, str]:
        """Writes documents in one request. Why CouchDB refused some of them, by their ids.

        https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-docs
        """
        rows = self.server.ask("POST", self.name, "_bulk_docs", body={"docs": list(documents)})
        return {row["id"]: f"{row['error']}: {one_line(row['reason'])}" for row in rows if "error" in row}

    def put_design_document(self, name: str, body: Document) -> str:
        """Creates a design document, for which CouchDB compiles its functions; the new revision."""
        return str(self.server.ask("PUT", self.name, "_design", name, body=body)["rev"])

    def delete_design_document(self, name: str, revision: str) -> None:
        """Deletes a design document."""
        self.server.ask("DELETE", self.name, "_design", name, query={"rev": revision})

    def query_view(self, design_document: str, view: str, *, timeout_s: float) -> None:
        """Asks a view for a row, which CouchDB answers once all indexes of its design document are built.

        Raises:
            TransportError: they aren't within `timeout_s` seconds. CouchDB goes on building.
        """
        query = {"limit": "1", "reduce": "false"}
        path = (self.name, "_design", design_document, "_view", view)
        self.server.ask("GET", *path, query=query, read_timeout_s=timeout_s)

    def count_pending_updates(self, design_document: str) -> int:
        """How many changes to documents the indexes of a design document have not seen yet."""
        info = self.server.ask("GET", self.name, "_design", design_document, "_info")
        return int(info["view_index"]["updates_pending"]["total"])
