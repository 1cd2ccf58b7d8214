"""Keys under which clients ask for changes, kept in the document that they have changed.

A client that gets no answer asks again under the same key. The document says whether the change was made, and
what it made of it, because it has the key from the write that made the change.
"""

import datetime
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from tor_async_couchdb.errors import KeyReusedError, KeysFullError
from tor_async_couchdb.model.timestamps import Timestamp, now

# How far the clocks of two processes may be apart: no key is dropped before the window ends by either.
_CLOCKS_APART_S = 10.0


class KeyUse(NamedTuple):
    """A request for a change: a hash of the client and its key, and one of what it asks for."""

    key: str
    fingerprint: str


class UsedKey(msgspec.Struct, frozen=True, array_like=True):
    """A change that was made: what was asked for, when it was made, and which change of the model it was."""

    key: str
    fingerprint: str
    used_on: Timestamp
    change_count: int = 0


def earlier_use(used_keys: Iterable[UsedKey], use: KeyUse) -> UsedKey | None:
    """The change that was made under the key; None if there was none.

    Raises:
        KeyReusedError: the key stands for another change.
    """
    for used in used_keys:
        if used.key == use.key:
            if used.fingerprint != use.fingerprint:
                raise KeyReusedError
            return used
    return None


def with_key(
    used_keys: Sequence[UsedKey], new: UsedKey, *, window_s: float, max_keys: int
) -> tuple[UsedKey, ...]:
    """The keys with a new one, without those that are older than the window; the oldest comes first.

    A key that was used as long after the present is left out, too: it was written by a clock that was wrong,
    and would be kept for ever.

    Raises:
        KeysFullError: there are `max_keys` that are younger.
    """
    present = datetime.datetime.fromisoformat(now())
    kept_for_s = window_s + _CLOCKS_APART_S
    kept = [used for used in used_keys if abs(_age_s(used, present)) <= kept_for_s]
    if len(kept) >= max_keys:
        raise KeysFullError(min(kept_for_s - _age_s(used, present) for used in kept))
    return (*kept, new)


def _age_s(used: UsedKey, present: datetime.datetime) -> float:
    return (present - datetime.datetime.fromisoformat(used.used_on)).total_seconds()
