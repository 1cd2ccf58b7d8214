"""Nonces: a random name for each write, kept in the document that it made.

A revision's name is a hash of its parent and its body, so two writers of equal bodies make the same revision.
A nonce makes each write unique, and shows later whether a write was applied.

A nonce is `DATABASE.GENERATION.SINCE.RANDOM`. DATABASE names the database that it was written through, and is
empty on a database with one copy of each document. GENERATION is that of the revision that the write makes.
All revisions from the generation SINCE on were written through the same database by this library: if another
program changes the document, or replication brings a change, the next nonce begins anew.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tor_async_couchdb.model import Document
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.wire.revision import generation_and_hash

# Of the last writes; each takes some 30 bytes.
MAX_NONCES = 8
# A merge keeps those of its leaves, until the next write.
_MAX_MERGED = 32


def _token() -> str:
    return secrets.token_urlsafe(9)


class Nonce(NamedTuple):
    """The parts of a nonce."""

    database_id: str
    generation: int
    since: int


def nonces_of(document: Document) -> Sequence[str]:
    """The nonces of the document's last writes, the latest first."""
    nonces = document.get(NONCES_PROPERTY_NAME)
    if not isinstance(nonces, list | tuple):
        return ()
    return [nonce for nonce in nonces if isinstance(nonce, str)]


def parsed(nonce: str) -> Nonce | None:
    """The parts of a nonce; None if it is none."""
    parts = nonce.split(".")
    if len(parts) != 4 or not all(
        part.isascii() and part.isdigit() and len(part) < 10 for part in parts[1:3]
    ):
        return None
    return Nonce(parts[0], int(parts[1]), int(parts[2]))


def merged(documents: Iterable[Document]) -> Document:
    """The property of a merge of these leaves, which each master makes alike: it has no nonce of its own."""
    nonces = {nonce for document in documents for nonce in nonces_of(document)}
    latest_first = sorted(nonces, key=_recency, reverse=True)
    return {NONCES_PROPERTY_NAME: latest_first[:_MAX_MERGED]} if nonces else {}


def _recency(nonce: str) -> tuple[int, str]:
    parts = parsed(nonce)
    return (0 if parts is None else parts.generation), nonce


class Nonces:
    """Makes nonces for the writes through one database; `token` returns a random text without a dot."""

    def __init__(self, database_id: str, token: Callable[[], str] = _token) -> None:
        self.database_id = database_id
        self._token = token

    def added_to(self, document: Document) -> Document:
        """The document with the nonce of a new write of it, made from the revision `_rev` if it has one."""
        nonces = nonces_of(document)
        rev = document.get("_rev")
        generation = 1 if rev is None else generation_and_hash(rev)[0] + 1
        before = parsed(nonces[0]) if nonces else None
        since = generation
        if before is not None and before[:2] == (self.database_id, generation - 1):
            since = before.since
        nonce = f"{self.database_id}.{generation}.{since}.{self._token()}"
        return document | {NONCES_PROPERTY_NAME: [nonce, *nonces[: MAX_NONCES - 1]]}
