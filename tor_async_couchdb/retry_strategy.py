"""An alias of `tor_async_couchdb.retries`, under the name that the original had."""

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

__all__ = [
    "Pause",
    "RetryStrategy",
    "decorrelated_jitter",
    "equal_jitter",
    "exponential",
    "fixed",
    "full_jitter",
    "immediately",
    "retry",
]
