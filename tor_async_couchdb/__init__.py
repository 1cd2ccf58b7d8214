"""An async CouchDB client for Tornado services: models, conflicts, retries.

What a service without signing or encryption needs is here. `protection`, `history`, `installer` and `testing`
are imported by their own paths, because they need packages that such a service does not.
"""

from tor_async_couchdb.actions.append_only import (
    Appended,
    AsyncAppender,
    AsyncFolder,
    AsyncPartsPagesRetriever,
    AsyncPartsRetriever,
    Journal,
)
from tor_async_couchdb.actions.conditional import AsyncConditionalCommitter
from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter
from tor_async_couchdb.actions.inspect import (
    AsyncAllViewMetricsRetriever,
    AsyncCouchDBHealthCheck,
    AsyncDatabaseMetricsRetriever,
    AsyncViewMetricsRetriever,
    DatabaseMetrics,
    Sizes,
    ViewMetrics,
)
from tor_async_couchdb.actions.lasting import (
    AsyncFirstPersister,
    AsyncLastingDeleter,
    AsyncLastingModelRetriever,
)
from tor_async_couchdb.actions.retrieve import (
    AsyncModelRetriever,
    AsyncModelRetrieverByDocumentID,
    AsyncModelsRetriever,
    AsyncViewRetriever,
    Cursor,
    Page,
)
from tor_async_couchdb.actions.retrieve_merged import AsyncMergedModelRetriever, AsyncMergedModelsRetriever
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.changes.follower import Follower
from tor_async_couchdb.changes.shared_feed import Batch, SharedFeed
from tor_async_couchdb.conflicts.reconciler import Reconciler
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database, Row
from tor_async_couchdb.documents.revisions import Change
from tor_async_couchdb.errors import (
    ChangedError,
    ConflictError,
    ConnectError,
    CouchDBError,
    DocumentRefusedError,
    ForbiddenError,
    InvalidDocumentError,
    KeyReusedError,
    KeysFullError,
    NoMajorityError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    TooLargeError,
    TransportError,
    UnauthorizedError,
    UnmergeableError,
)
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.appended import AppendedModel, Entry
from tor_async_couchdb.model.change_sets import ChangeNamer, ChangeSet, count_changes, with_change
from tor_async_couchdb.model.properties import (
    AddsWin,
    ChangeCount,
    CountedOnce,
    Counter,
    Immutable,
    Latest,
    LatestBy,
    MergedBy,
    OnDeleteConflict,
    Superseded,
    UniqueKey,
)
from tor_async_couchdb.model.timestamps import Timestamp, next_after, now
from tor_async_couchdb.model.used_keys import KeyUse, UsedKey, earlier_use, with_key
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.retries.pauses import (
    Pause,
    decorrelated_jitter,
    equal_jitter,
    exponential,
    fixed,
    full_jitter,
    immediately,
)
from tor_async_couchdb.retries.strategy import RetryStrategy, retry
from tor_async_couchdb.wire.login import BasicLogin, Login, SessionLogin, TokenLogin
from tor_async_couchdb.wire.secret_file import SecretFile

__all__ = [
    "AddsWin",
    "Appended",
    "AppendedModel",
    "AsyncAllViewMetricsRetriever",
    "AsyncAppender",
    "AsyncConditionalCommitter",
    "AsyncCouchDBHealthCheck",
    "AsyncDatabaseMetricsRetriever",
    "AsyncDeleter",
    "AsyncFirstPersister",
    "AsyncFolder",
    "AsyncGroupCommitter",
    "AsyncLastingDeleter",
    "AsyncLastingModelRetriever",
    "AsyncMergedModelRetriever",
    "AsyncMergedModelsRetriever",
    "AsyncModelRetriever",
    "AsyncModelRetrieverByDocumentID",
    "AsyncModelsRetriever",
    "AsyncPartsPagesRetriever",
    "AsyncPartsRetriever",
    "AsyncPersister",
    "AsyncViewMetricsRetriever",
    "AsyncViewRetriever",
    "BasicLogin",
    "Batch",
    "Change",
    "ChangeCount",
    "ChangeNamer",
    "ChangeSet",
    "ChangedError",
    "ConflictError",
    "ConflictResolver",
    "ConnectError",
    "CouchDBError",
    "CountedOnce",
    "Counter",
    "Cursor",
    "Database",
    "DatabaseMetrics",
    "Document",
    "DocumentRefusedError",
    "Entry",
    "Follower",
    "ForbiddenError",
    "Immutable",
    "InvalidDocumentError",
    "Journal",
    "KeyReusedError",
    "KeyUse",
    "KeysFullError",
    "Latest",
    "LatestBy",
    "Login",
    "MergedBy",
    "Model",
    "NoMajorityError",
    "NotFoundError",
    "Observer",
    "OnDeleteConflict",
    "OutcomeUnknownError",
    "Page",
    "Pause",
    "Reconciler",
    "ResponseError",
    "RetryBudget",
    "RetryStrategy",
    "Row",
    "SecretFile",
    "SessionLogin",
    "SharedFeed",
    "Sizes",
    "Superseded",
    "Timestamp",
    "TokenLogin",
    "TooLargeError",
    "TransportError",
    "UnauthorizedError",
    "UniqueKey",
    "UnmergeableError",
    "UsedKey",
    "ViewMetrics",
    "count_changes",
    "decorrelated_jitter",
    "earlier_use",
    "equal_jitter",
    "exponential",
    "fixed",
    "full_jitter",
    "immediately",
    "next_after",
    "now",
    "retry",
    "with_change",
    "with_key",
]
