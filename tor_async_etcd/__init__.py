"""An async etcd client for asyncio and Tornado, with typed persistent maps."""

from tor_async_etcd.concurrency.election import Election, Leadership
from tor_async_etcd.concurrency.lock import Lock
from tor_async_etcd.errors import (
    Compacted,
    ConflictError,
    Error,
    EtcdError,
    Expired,
    Failed,
    InvalidDataError,
    NotHeldError,
    NotSentError,
    OutcomeUnknownError,
    StoreReplacedError,
    TransactionTooLargeError,
    TransportError,
    UniqueError,
)
from tor_async_etcd.kv.client import Client
from tor_async_etcd.kv.keyset import KeySet
from tor_async_etcd.kv.lease import Lease
from tor_async_etcd.kv.transaction import (
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
from tor_async_etcd.kv.watch import Change, Event, Watch
from tor_async_etcd.maps.database import Database
from tor_async_etcd.maps.db_transaction import DbTransaction
from tor_async_etcd.results import Branch, Deleted, Header, KeyValue, Range, Revision, Status, Success

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
    "NotHeldError",
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
    "StoreReplacedError",
    "Success",
    "Transaction",
    "TransactionTooLargeError",
    "TransportError",
    "UniqueError",
    "Watch",
]
