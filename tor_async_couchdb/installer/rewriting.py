"""Rewrites all documents of a database, with another key or as another version, while services use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tor_async_couchdb.errors import InvalidDocumentError, TamperedError
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.wire.document_json import UnreadableDocumentError

PAGE_SIZE = 500
# A document that a service changes at the same moment is left to the next pass. More than a few passes are
# needed only if services go on writing with another key, or as another version.
_MAX_PASSES = 10

# What the error says if the last pass still finds something to write.
ANOTHER_KEY = "services still use another key: give them the new one first"

# Called with the number of documents seen so far and that of all.
OnProgress = Callable[[int, int], None]

# Returns the revision to write, or the same one if it is up to date. If it raises TamperedError or
# InvalidDocumentError the revision is left as it is.
Renew = Callable[[Document], Document]


@dataclass
class Rewritten:
    """The numbers of revisions that were written and are current, and the documents left as they are."""

    written: int = 0
    current: int = 0
    tampered: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)

    def refuse(self, error: UnreadableDocumentError) -> None:
        """Leaves a revision as it is, because it can't be decoded."""
        if not error.document.get("_deleted"):
            self.refused[str(error.document_id)] = error.reason


def rewrite(
    database: AdminDatabase,
    renew: Renew,
    on_progress: OnProgress,
    *,
    page_size: int = PAGE_SIZE,
    max_writes_per_s: float | None = None,
    outpaced: str = ANOTHER_KEY,
    sleep: Callable[[float], None] = time.sleep,
) -> Rewritten:
    """Rewrites each live leaf of each document that is not up to date, `page_size` documents at a time.

    It writes at most `max_writes_per_s` revisions a second. After an interruption call it again: it writes
    only what is left.

    Raises:
        CouchDBError: CouchDB can't be asked, or refuses.
        InstallerError: services go on writing what has to be rewritten, as `outpaced` says.
    """
    result = Rewritten()
    for _ in range(_MAX_PASSES):
        written = result.written
        result = Rewritten(written=written)
        is_done = True
        for leaves in _pages(database, on_progress, page_size, result.refuse):
            renewed = _renewed(leaves, renew, result)
            is_done = is_done and not renewed
            _write(database, renewed, result)
            if renewed and max_writes_per_s is not None:
                sleep(len(renewed) / max_writes_per_s)
        if is_done:
            return result
    raise InstallerError(f"{database}: {outpaced}")


def _pages(
    database: AdminDatabase,
    on_progress: OnProgress,
    page_size: int,
    on_unreadable: Callable[[UnreadableDocumentError], None],
) -> Iterator[list[Document]]:
    total = database.count_documents()
    seen = 0
    document_ids = database.document_ids(None, page_size)
    while document_ids:
        leaves = database.fetch_leaves(document_ids, on_unreadable)
        yield [leaf for leaf in leaves if not leaf.get("_deleted")]
        seen += len(document_ids)
        on_progress(min(seen, total), total)
        document_ids = database.document_ids(document_ids[-1], page_size)


def _renewed(leaves: Sequence[Document], renew: Renew, result: Rewritten) -> list[Document]:
    """The new revisions of those leaves that are out of date."""
    renewed = []
    for leaf in leaves:
        document_id = leaf["_id"]
        if document_id.startswith("_design/"):
            continue
        try:
            new = renew(leaf)
        except TamperedError:
            result.tampered.add(document_id)
        except InvalidDocumentError as error:
            result.refused[document_id] = error.reason
        except RecursionError:
            result.refused[document_id] = "is nested too deeply"
        else:
            if new == leaf:
                result.current += 1
            else:
                renewed.append(new)
    return renewed


def _write(database: AdminDatabase, documents: Sequence[Document], result: Rewritten) -> None:
    refusals = database.write(documents) if documents else {}
    for document_id, reason in refusals.items():
        if not reason.startswith("conflict:"):
            raise InstallerError(f"{database} refuses document '{document_id}': {reason}")
    result.written += len(documents) - len(refusals)
