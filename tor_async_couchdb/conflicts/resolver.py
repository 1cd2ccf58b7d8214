"""Resolves conflicts in a database: reads the leaves, merges them, inserts the result, and looks again."""

from collections.abc import Iterable, Sequence

from tor_async_couchdb.conflicts.attachments import has_all, new_attachments, stubs_of
from tor_async_couchdb.conflicts.merge import check_mergeable
from tor_async_couchdb.conflicts.plan import Resolution, is_deletion, resolve
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConflictError, CouchDBError, UnmergeableError
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import OnDeleteConflict

# Each further round means that replication brought another conflict meanwhile.
_MAX_ROUNDS = 10


def by_type(model_classes: Sequence[type[Model]]) -> dict[str, type[Model]]:
    """The class for each type of document: the one whose own type it is, or else one that reads it."""
    reading = {name: model_class for model_class in model_classes for name in model_class.document_types}
    return reading | {model_class.type_name(): model_class for model_class in model_classes}


class ConflictResolver:
    """Resolves conflicts on documents of the types of `model_classes`.

    Raises:
        TypeError: a model does not declare how one of its properties merges.
    """

    def __init__(self, model_classes: Iterable[type[Model]], *, database: Database) -> None:
        self._database = database
        classes = list(model_classes)
        self._model_classes = by_type(classes)
        for model_class in classes:
            check_mergeable(model_class)

    @property
    def types(self) -> Sequence[str]:
        """The types whose conflicts are resolved."""
        return sorted(self._model_classes)

    def keeps_deletion(self, document: Document) -> bool:
        """Whether the model of the document's type keeps a deletion that conflicts with a change."""
        model_class = self._model_classes.get(str(document.get("type")))
        return model_class is not None and model_class.on_delete_conflict is OnDeleteConflict.KEEP_DELETION

    async def resolve(self, document_id: str) -> Document | None:
        """The document without a conflict; None if there is no such document, or a deletion of it is kept.

        The document then has one live leaf. A change of that leaf includes all changes made in this database
        before, and a change of another leaf meets a conflict.

        Raises:
            UnmergeableError: no model says how the revisions merge; they stay as they are.
            TamperedError, InvalidDocumentError: something is wrong with one of them; they stay as they are.
            ConflictError: each resolution met another conflict.
        """
        for _ in range(_MAX_ROUNDS):
            leaves = await self._leaves(document_id)
            if len(leaves) < 2:
                return leaves[0] if leaves else None
            self._database.observer.conflict_found()
            try:
                resolution = await self._resolution(leaves)
                await self._database.revisions.insert(
                    [await self._with_data(revision, leaves) for revision in resolution.revisions]
                )
            except CouchDBError as error:
                self._database.observer.conflict_failed(error)
                raise
            self._database.observer.conflict_merged(resolution.superseded_count)
        reason = f"document {document_id!r} had another conflict each time that one was resolved"
        raise ConflictError(409, "conflict", reason, method="POST", path="_bulk_docs")

    async def _leaves(self, document_id: str) -> list[Document]:
        """The live leaves, and tombstones if deletions are kept; [] if there is no live leaf."""
        live = await self._database.fetch_conflict(document_id)
        if live and self.keeps_deletion(live[0]):
            leaves = await self._database.fetch_leaves(document_id)
            return [*live, *(leaf for leaf in leaves if is_deletion(leaf))]
        return live

    async def _resolution(self, leaves: Sequence[Document]) -> Resolution:
        live = [leaf for leaf in leaves if "_deleted" not in leaf]
        document_type = live[0].get("type")
        model_class = self._model_classes.get(str(document_type))
        if model_class is None:
            reason = f"nothing says how conflicts on documents of type {document_type!r} merge"
            raise UnmergeableError(reason, document_id=live[0]["_id"])
        open_document = await self._database.guard.opener(model_class, live)
        try:
            return resolve(model_class, leaves, open_document, self._database.guard.sign)
        except RecursionError as error:
            reason = "has revisions that are nested too deeply to be merged"
            raise UnmergeableError(reason, document_id=live[0]["_id"]) from error

    async def _with_data(self, revision: Document, leaves: Sequence[Document]) -> Document:
        """The revision with the data of those attachments that its parent does not have."""
        attachments = {**stubs_of(revision)}
        missing = dict(new_attachments(revision))
        for leaf in leaves:
            found = [name for name, stub in missing.items() if has_all(leaf, {name: stub})]
            if not found:
                continue
            data = await self._database.revisions.fetch_attachments(leaf["_id"], leaf["_rev"])
            for name in found:
                stub = missing.pop(name)
                attachments[name] = {
                    "content_type": stub["content_type"],
                    "revpos": stub["revpos"],
                    "data": data[name],
                }
        return revision | {"_attachments": attachments} if attachments else revision
