"""Ending conflicts in a database: read the leaves, merge them, insert the result, and look again."""

from collections.abc import Iterable, Sequence

from tor_async_couchdb.conflicts.merge import check_mergeable
from tor_async_couchdb.conflicts.plan import Resolution, is_merged_away, resolve
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConflictError, CouchDBError, TamperedError, UnmergeableError
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.model.properties import Deletes
from tor_async_couchdb.protection import signing

# Another conflict in between takes another replication: nobody is that unlucky so often.
_MAX_ROUNDS = 10


class ConflictResolver:
    """Resolves conflicts on documents of the types that `model_classes` are for.

    Raises:
        TypeError: a model does not say how one of its properties merges.
    """

    def __init__(self, model_classes: Iterable[type[Model]], *, database: Database) -> None:
        self._database = database
        self._model_classes = {model_class.type_name(): model_class for model_class in model_classes}
        for model_class in self._model_classes.values():
            check_mergeable(model_class)

    @property
    def types(self) -> Sequence[str]:
        """The types whose conflicts are resolved."""
        return sorted(self._model_classes)

    def does_deletion_win(self, document: Document) -> bool:
        """Whether its type says that a deletion wins over a change."""
        model_class = self._model_classes.get(str(document.get("type")))
        return model_class is not None and model_class.deletes is Deletes.WIN

    async def resolve(self, document_id: str) -> Document | None:
        """The document without a conflict; None if there is no such document, or it loses to a deletion.

        When it returns, the document had one live leaf. So who changes that one has all changes before him
        that were made in this database, and who would change another leaf meets a conflict.

        Raises:
            UnmergeableError: nothing says how these revisions merge; they are left as they are.
            TamperedError, InvalidDocumentError: the same, for what is wrong with one of them.
            ConflictError: there was always one more conflict.
        """
        for _ in range(_MAX_ROUNDS):
            leaves = await self._leaves(document_id)
            if len(leaves) < 2:
                return leaves[0] if leaves else None
            self._database.observer.conflict_found()
            try:
                resolution = await self._resolution(leaves)
                await self._database.revisions.insert(resolution.revisions)
            except CouchDBError as error:
                self._database.observer.conflict_failed(error)
                raise
            self._database.observer.conflict_merged(resolution.superseded_count)
        reason = f"document {document_id!r} had another conflict each time that one was resolved"
        raise ConflictError(409, "conflict", reason, method="POST", path="_bulk_docs")

    async def _leaves(self, document_id: str) -> list[Document]:
        """The live leaves, and where deletions win these too; [] if nothing is live."""
        leaves = await self._database.revisions.fetch_live_leaves(document_id)
        if leaves and self.does_deletion_win(leaves[0]):
            leaves = [
                leaf for leaf in await self._database.fetch_leaves(document_id) if not is_merged_away(leaf)
            ]
            if all("_deleted" in leaf for leaf in leaves):
                return []
        return leaves

    async def _resolution(self, leaves: Sequence[Document]) -> Resolution:
        live = [leaf for leaf in leaves if "_deleted" not in leaf]
        document_id, document_type = live[0]["_id"], live[0].get("type")
        model_class = self._model_classes.get(str(document_type))
        if model_class is None:
            reason = f"nothing says how conflicts on documents of type {document_type!r} merge"
            raise UnmergeableError(reason, document_id=document_id)
        signer = self._database.tampering_signer
        if signer is not None and not all(signing.verify(signer, leaf) for leaf in live):
            raise TamperedError(document_id)
        decrypt = await self._database.encryption.decrypter(model_class, live)
        return resolve(model_class, leaves, signer, decrypt)
