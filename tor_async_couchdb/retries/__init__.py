"""Retries: pauses, strategies and budgets."""

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

__all__ = [
    "Pause",
    "RetryBudget",
    "RetryStrategy",
    "decorrelated_jitter",
    "equal_jitter",
    "exponential",
    "fixed",
    "full_jitter",
    "immediately",
    "retry",
]
