"""Everything that can go wrong, as one tree.

EtcdError
├── TransportError              there was no answer, or not one of an etcd
│   ├── NotSentError            the request was not sent, so it was not applied
│   └── OutcomeUnknownError     a write was sent and got no answer: it may have been applied
├── Error                       etcd answered with an error: code and message
│   └── Compacted               etcd no longer keeps the revision
├── Failed                      a comparison of a transaction did not hold
├── Expired                     the lease ended, or may have ended
│   └── NotHeldError            the lock, or the leadership, is not held yet
├── StoreReplacedError          etcd's data was wiped, or restored from an older state
├── ConflictError               another writer changed what a database transaction had read
├── TransactionTooLargeError    a database transaction does not fit into one of etcd's
├── UniqueError                 a unique index already holds the value for another key
└── InvalidDataError            stored bytes are not what the codec writes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tor_async_etcd.results import Header, Response

# gRPC status codes, https://grpc.github.io/grpc/core/md_doc_statuscodes.html
INVALID_ARGUMENT = 3
NOT_FOUND = 5
PERMISSION_DENIED = 7
FAILED_PRECONDITION = 9
OUT_OF_RANGE = 11
UNIMPLEMENTED = 12
UNAVAILABLE = 14
UNAUTHENTICATED = 16


class EtcdError(RuntimeError):
    """The root of everything that this package raises."""


class TransportError(EtcdError):
    """There was no answer, or not one of an etcd."""


class NotSentError(TransportError):
    """The request was not sent, so it was not applied."""


class OutcomeUnknownError(TransportError):
    """A write was sent and got no answer: it may have been applied, or may be in a moment."""


class Error(EtcdError):
    """etcd refused a request: `code` is the gRPC status code, `message` etcd's text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message


class Compacted(Error):  # noqa: N818 - etcd's own word
    """etcd no longer keeps the revision; `compact_revision` is the oldest that it keeps, None if unknown."""

    def __init__(self, message: str, compact_revision: int | None = None) -> None:
        super().__init__(OUT_OF_RANGE, message)
        self.compact_revision = compact_revision


class Failed(EtcdError):  # noqa: N818 - the name that users of txaioetcd know
    """A comparison of a transaction did not hold; `responses` are those of its failure operations."""

    def __init__(self, header: Header, responses: Sequence[Response]) -> None:
        super().__init__(f"comparisons did not hold at revision {header.revision}")
        self.header = header
        self.responses = list(responses)


class Expired(EtcdError):  # noqa: N818 - the name that users of txaioetcd know
    """The lease ended, or its time ran out before a renewal was confirmed."""


class NotHeldError(Expired):
    """The lock, or the leadership, is not held yet: it was not entered, or still waits."""


class StoreReplacedError(EtcdError):
    """etcd's data was wiped, or restored from an older state, so a watch can't go on where it was."""


class ConflictError(EtcdError):
    """Another writer changed what a database transaction had read; nothing was written."""


class TransactionTooLargeError(EtcdError):
    """A database transaction does not fit into one transaction of etcd; nothing was written."""


class UniqueError(EtcdError):
    """A unique index already holds this value for another key; nothing was written."""


class InvalidDataError(EtcdError):
    """Stored bytes, or a dump, are not what the codec writes."""
