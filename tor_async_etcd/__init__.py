"""An async etcd client for asyncio and Tornado, with typed persistent maps."""

from .client import Client
from .database import Database
from .db_transaction import DbTransaction
from .election import Election, Leadership
from .errors import (
    Compacted,
    ConflictError,
    Error,
    EtcdError,
    Expired,
    Failed,
    InvalidDataError,
    NotSentError,
    OutcomeUnknownError,
    TransactionTooLargeError,
    TransportError,
    UniqueError,
)
from .keyset import KeySet
from .lease import Lease
from .lock import Lock
from .results import Branch, Deleted, Header, KeyValue, Range, Revision, Status, Success
from .transaction import (
    Comp,
    CompCreated,
    CompLease,
    CompModified,
    CompValue,
    CompVersion,
    Op,
    OpDel,
    OpGet,
    OpSet,
    OpTransaction,
    Transaction,
)
from .watch import Change, Event, Watch

__all__ = [
    "Branch",
    "Change",
    "Client",
    "Comp",
    "CompCreated",
    "CompLease",
    "CompModified",
    "CompValue",
    "CompVersion",
    "Compacted",
    "ConflictError",
    "Database",
    "DbTransaction",
    "Deleted",
    "Election",
    "Error",
    "EtcdError",
    "Event",
    "Expired",
    "Failed",
    "Header",
    "InvalidDataError",
    "KeySet",
    "KeyValue",
    "Leadership",
    "Lease",
    "Lock",
    "NotSentError",
    "Op",
    "OpDel",
    "OpGet",
    "OpSet",
    "OpTransaction",
    "OutcomeUnknownError",
    "Range",
    "Revision",
    "Status",
    "Success",
    "Transaction",
    "TransactionTooLargeError",
    "TransportError",
    "UniqueError",
    "Watch",
]
