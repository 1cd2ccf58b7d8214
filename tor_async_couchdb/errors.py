"""Everything that can go wrong between a service and CouchDB, as one tree.

    CouchDBError
    ├── TransportError               no answer, or none that can be used
    │   ├── ConnectError             provably never sent: no connection could be had
    │   └── OutcomeUnknownError      a write that may or may not have been applied
    ├── ResponseError                CouchDB answered, and refused
    │   ├── UnauthorizedError        401
    │   ├── ForbiddenError           403
    │   ├── NotFoundError            404: no such database, design document or document
    │   ├── ConflictError            409: somebody else changed the document first
    │   └── TooLargeError            413
    ├── TamperedError                a document whose signature is wrong or missing, or a ciphertext in it
    ├── ForgottenError               somebody whose data key was deleted is to be encrypted for
    ├── DataKeyError                 the data keys can't be had
    ├── HashingError                 a hash was not made in time
    ├── IncompleteError              a document whose changes are still under way from another master
    └── InvalidDocumentError         a document that does not fit its model, or JSON
        └── UnmergeableError         a document whose conflicting revisions nothing says how to merge

"No such model" is not an error: the retrievers return None.
"""

from typing import Self


class CouchDBError(Exception):
    """The root of all errors that this library raises for what happened at run time.

    `retry_after_s` is how many seconds CouchDB, or a gateway, asked to wait before the next try.
    """

    retry_after_s = 0.0


class TransportError(CouchDBError):
    """CouchDB gave no answer in time, or the connection broke before the answer was whole."""


class ConnectError(TransportError):
    """No connection to CouchDB could be had, so nothing was sent."""


class OutcomeUnknownError(TransportError):
    """A write was sent, its answer never came, and it can't be told what becomes of it."""


class ResponseError(CouchDBError):
    """CouchDB refused a request.

    `status` is the HTTP status, `error` and `reason` are CouchDB's own words, `method` and
    `path` say what was asked. Neither credentials nor bodies are kept.
    """

    def __init__(self, status: int, error: str, reason: str, *, method: str, path: str) -> None:
        super().__init__(f"CouchDB answered {method} {path} with {status} {error}: {reason}")
        self.status = status
        self.error = error
        self.reason = reason
        self.method = method
        self.path = path

    @classmethod
    def for_status(cls, status: int, error: str, reason: str, *, method: str, path: str) -> Self:
        """The most specific error of the tree for an HTTP status."""
        error_class = _ERROR_BY_STATUS.get(status, cls)
        return error_class(status, error, reason, method=method, path=path)  # type: ignore[return-value]


class UnauthorizedError(ResponseError):
    """CouchDB wants credentials, or others than those it was given (401)."""


class ForbiddenError(ResponseError):
    """The credentials are good, but not for this; or a validation function refused the document (403)."""


class NotFoundError(ResponseError):
    """There is no such database, design document or document (404)."""


class ConflictError(ResponseError):
    """Somebody else changed the document since it was read (409)."""


class TooLargeError(ResponseError):
    """A document or a request is larger than CouchDB takes (413)."""


_ERROR_BY_STATUS: dict[int, type[ResponseError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
}


class TamperedError(CouchDBError):
    """A stored document's signature, or a ciphertext in it, is wrong: somebody without the key wrote it."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"tampering detected in document {document_id!r}")
        self.document_id = document_id
        self.is_reported = False  # it may reach many who waited for the same read


class ForgottenError(CouchDBError):
    """A value is to be encrypted for a subject whose data key was deleted, so that nobody can read it."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"the subject of document {document_id!r} has been forgotten")
        self.document_id = document_id


class DataKeyError(CouchDBError):
    """The store of the data keys can't be used; nothing was read or changed."""


class HashingError(CouchDBError):
    """A hash was not made before the deadline, as too many others were in front of it."""


class IncompleteError(CouchDBError):
    """A document lacks changes that it had: they were merged elsewhere, and that has to be replicated yet."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"document {document_id!r} lacks changes that were merged on another master")
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
