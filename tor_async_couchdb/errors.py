"""All errors that the library raises for what happens at run time, as one tree.

    CouchDBError
    ├── TransportError               there is no answer, or none that can be used
    │   ├── ConnectError             nothing was sent: there was no connection
    │   └── OutcomeUnknownError      a write may or may not have been applied
    ├── ResponseError                CouchDB refused the request
    │   ├── UnauthorizedError        401
    │   ├── ForbiddenError           403
    │   │   └── DocumentRefusedError a validation function refused the document
    │   ├── NotFoundError            404: no such database, design document or document
    │   ├── ConflictError            409: the document has changed since it was read
    │   └── TooLargeError            413
    ├── ChangedError                 a model is not as the caller of a change has seen it
    ├── KeyReusedError               the key of a change stands for another change already
    ├── KeysFullError                a document can't keep the key of one more change yet
    ├── NoMajorityError              most copies of a cluster's documents are down
    ├── TamperedError                a signature or a ciphertext in a stored document is wrong
    ├── SubjectErasedError           the data key of the document's subject was deleted
    ├── DataKeyError                 the store of the data keys can't be used
    ├── HashingError                 a hash was not computed before the deadline
    ├── NotYetReplicatedError        changes of a document have not arrived from another master yet
    └── InvalidDocumentError         a document does not fit its model, or is not JSON
        └── UnmergeableError         nothing says how conflicting revisions of a document merge

A model that does not exist is not an error: the retrievers return None.
"""

from typing import Any, Self

# What is asked for beyond that is as good as "never", and no use to a client.
MAX_RETRY_AFTER_S = 3600.0


class CouchDBError(Exception):
    """The root of the tree.

    `retry_after_s` is how many seconds CouchDB, or a gateway, asks a client to wait before the next try. What
    waits so long, or passes it on, limits it to `MAX_RETRY_AFTER_S`.
    """

    retry_after_s = 0.0


class TransportError(CouchDBError):
    """CouchDB did not answer in time, or the connection broke before the answer was complete."""


class ConnectError(TransportError):
    """There was no connection to CouchDB in time, so nothing was sent."""


class OutcomeUnknownError(TransportError):
    """A write was sent and not answered; it may or may not have been applied, or may still be."""


class ResponseError(CouchDBError):
    """CouchDB refused a request.

    `status` is the HTTP status, `error` and `reason` are CouchDB's, `method` and `path` name the request.
    The error holds neither credentials nor bodies.
    """

    def __init__(self, status: int, error: str, reason: str, *, method: str, path: str) -> None:
        super().__init__(f"CouchDB answered {method} {path} with {status} {error}: {reason}")
        self.status = status
        self.error = error
        self.reason = reason
        self.method = method
        self.path = path

    @classmethod
    def for_status(
        cls, status: int, error: str, reason: str, *, method: str, path: str, is_read: bool = False
    ) -> Self:
        """The most specific error of the tree for an HTTP status.

        Only a write can conflict or be too large: if a read has such a status, a gateway has answered it.
        """
        error_class = cls if is_read and status in _STATUSES_OF_WRITES else _ERROR_BY_STATUS.get(status, cls)
        return error_class(status, error, reason, method=method, path=path)  # type: ignore[return-value]


class UnauthorizedError(ResponseError):
    """CouchDB needs credentials, or refuses those that it was sent (401)."""


class ForbiddenError(ResponseError):
    """The user may not do this (403)."""


class DocumentRefusedError(ForbiddenError):
    """A validation function of the database refused the document.

    `error` is what it threw, `forbidden` or `unauthorized`, and `reason` is its reason.
    """

    def __init__(self, error: str, reason: str, *, document_id: str) -> None:
        where = f"{reason} (document {document_id!r})"
        super().__init__(403, error, where, method="POST", path="_bulk_docs")
        self.reason = reason
        self.document_id = document_id


class NotFoundError(ResponseError):
    """There is no such database, design document or document (404)."""


class ConflictError(ResponseError):
    """The document has changed since it was read (409)."""


class TooLargeError(ResponseError):
    """A document or a request is larger than CouchDB accepts (413)."""


_STATUSES_OF_WRITES = (409, 413)

_ERROR_BY_STATUS: dict[int, type[ResponseError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
}


class ChangedError(CouchDBError):
    """A model is not as the caller of a change has seen it, so nothing was changed.

    `current` is the model as it is now; None if it can't be found.
    """

    def __init__(self, current: Any) -> None:
        super().__init__("the model has changed since the caller has seen it")
        self.current = current


class KeyReusedError(CouchDBError):
    """A client asks for a change under a key that stands for another change, so nothing was changed."""

    def __init__(self) -> None:
        super().__init__("the key stands for another change")


class KeysFullError(CouchDBError):
    """A document keeps as many keys of changes as it can, so nothing was changed; the oldest ends first."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the document can't keep another key of a change for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class NoMajorityError(CouchDBError):
    """Most copies of a cluster's documents are down; no write can be acknowledged until they are back."""

    def __init__(self, database: str, copies: int) -> None:
        majority = copies // 2 + 1
        super().__init__(f"fewer than {majority} of the {copies} copies of database {database!r} are up")


class TamperedError(CouchDBError):
    """A signature or a ciphertext in a stored document is wrong: the writer did not have the key."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"tampering detected in document {document_id!r}")
        self.document_id = document_id


class SubjectErasedError(CouchDBError):
    """Data of a document's subject can't be encrypted or read: the subject's data key was deleted."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"the subject of document {document_id!r} has been erased")
        self.document_id = document_id


class DataKeyError(CouchDBError):
    """The store of the data keys can't be used; nothing was read or changed."""


class HashingError(CouchDBError):
    """A hash was not computed before the deadline: too many others were ahead of it."""


class NotYetReplicatedError(CouchDBError):
    """Changes of a document were merged on another master, and the merge has not been replicated yet."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"document {document_id!r} lacks changes that another master has merged")
        self.document_id = document_id


class InvalidDocumentError(CouchDBError):
    """A document does not fit its model, or can't be stored as JSON."""

    def __init__(
        self, reason: str, *, document_id: str | None = None, property_name: str | None = None
    ) -> None:
        document = "document" if document_id is None else f"document {document_id!r}"
        where = document if property_name is None else f"property {property_name!r} of {document}"
        super().__init__(f"{where}: {reason}")
        self.reason = reason
        self.document_id = document_id
        self.property_name = property_name


class UnmergeableError(InvalidDocumentError):
    """A document has conflicting revisions, and nothing says how they merge."""
