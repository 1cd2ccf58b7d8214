"""Everything that can go wrong, as one tree.

EtcdError
├── TransportError              no answer, or none that etcd gives
│   ├── NotSentError            nothing was sent: certainly not applied
│   └── OutcomeUnknownError     a write was sent, its answer never came: it may have been applied
├── Error                       etcd answered with an error: code and message
│   └── Compacted               the revision asked for is no longer kept
├── Failed                      a transaction's comparisons did not hold
├── Expired                     the lease is gone, or may be
│   └── NotHeldError            the lock still waits, so nothing may be done under it
├── StoreReplacedError          etcd's data was wiped, or restored from an older state
├── ConflictError               what a database transaction had read was changed by another
├── TransactionTooLargeError    more than one etcd transaction can hold
├── UniqueError                 a unique index already holds the value for another key
└── InvalidDataError            stored bytes are not what the map's codec writes
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
    """No answer, or none that etcd gives."""


class NotSentError(TransportError):
    """Nothing was sent, so nothing was applied."""


class OutcomeUnknownError(TransportError):
    """A write was sent and its answer never came: it may have been applied, now or in a moment."""


class Error(EtcdError):
    """etcd's own error: `code` is the gRPC status code, `message` its sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message


class Compacted(Error):  # noqa: N818 - etcd's word, and what a watch is said to "say"
    """The revision asked for is no longer kept; `compact_revision` is the oldest that is, if etcd told."""

    def __init__(self, message: str, compact_revision: int | None = None) -> None:
        super().__init__(OUT_OF_RANGE, message)
        self.compact_revision = compact_revision


class Failed(EtcdError):  # noqa: N818 - the name that users of txaioetcd know
    """A transaction's comparisons did not hold; `responses` are those of its failure operations."""

    def __init__(self, header: Header, responses: Sequence[Response]) -> None:
        super().__init__(f"comparisons did not hold at revision {header.revision}")
        self.header = header
        self.responses = list(responses)


class Expired(EtcdError):  # noqa: N818 - the name that users of txaioetcd know
    """The lease is gone, or its time ran out without news of its renewal."""


class NotHeldError(Expired):
    """The lock, or the leadership, is not held yet: it still waits for those before it."""


class StoreReplacedError(EtcdError):
    """etcd's data was wiped, or restored from an older state: what was read or watched before is void."""


class ConflictError(EtcdError):
    """What a database transaction had read was changed before it could commit; nothing was written."""


class TransactionTooLargeError(EtcdError):
    """A transaction needs more than etcd takes at once; nothing was written."""


class UniqueError(EtcdError):
    """A unique index already holds this value for another key; nothing was written."""


class InvalidDataError(EtcdError):
    """Stored bytes are not what the map's codec writes."""
