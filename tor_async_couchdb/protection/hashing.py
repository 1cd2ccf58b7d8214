"""Hashes of values that a service does not need to know, but has to find or to compare.

Both kinds of hash take a pepper, a secret that is not in the database. Without it nobody can guess values
from a copy of the database, even though e-mail addresses can be guessed and there are only ten thousand PINs.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import HashingError, InvalidDocumentError
from tor_async_couchdb.protection.private_file import create_private_file

_PEPPER_SIZE_BYTES = 64
# A hash takes a core for some 50 ms, and 64 MiB of memory.
_MAX_THREADS = 2
_COMPARED = "compared"

T = TypeVar("T")


class Pepper:
    """A secret of at least 64 random bytes, kept apart from the database.

    Raises:
        ValueError: the secret is shorter.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _PEPPER_SIZE_BYTES:
            raise ValueError(f"a pepper has at least {_PEPPER_SIZE_BYTES} bytes")
        self._secret = secret

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> None:
        """Writes a file with a new pepper that only its owner can read; FileExistsError if there is one."""
        create_private_file(path, base64.b64encode(secrets.token_bytes(_PEPPER_SIZE_BYTES)) + b"\n")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Pepper:
        """Reads a pepper that `create` wrote.

        Raises:
            OSError: the file can't be read.
            ValueError: the file holds no pepper.
        """
        try:
            return cls(base64.b64decode(Path(path).read_bytes().strip(), validate=True))
        except ValueError:
            raise ValueError(f"'{path}' holds no pepper") from None

    def hash(self, purpose: str, text: str) -> str:
        """The HMAC-SHA3-512 of a text, 128 hexadecimal digits: equal for equal purpose and text.

        The purpose, such as a property's name, keeps equal texts in two properties from having equal hashes.
        """
        return hmac.digest(self._secret, f"{purpose}\0{text}".encode(), "sha3_512").hex()


class SlowHasher:
    """Hashes values that are only compared, with argon2id (RFC 9106) and a salt: each hash is different.

    A few threads do it beside the event loop; more hashes wait for one of these threads.
    """

    def __init__(self, pepper: Pepper, hasher: argon2.PasswordHasher | None = None) -> None:
        self._pepper = pepper
        self._hasher = hasher or argon2.PasswordHasher()
        self._threads = concurrent.futures.ThreadPoolExecutor(_MAX_THREADS, "slow-hash")

    async def hash(self, secret: str) -> str:
        """The hash, which includes its parameters and salt.

        Raises:
            HashingError: the hash was not computed before the deadline.
        """
        return await self._run(self._hash, secret)

    async def matches(self, secret: str, hashed: str) -> bool:
        """Whether `hashed` is a hash of the secret.

        Raises:
            HashingError: the hash was not computed before the deadline.
            InvalidDocumentError: `hashed` is no argon2 hash, or one that takes more time or memory than ours.
        """
        return await self._run(self._matches, secret, hashed)

    def _hash(self, secret: str) -> str:
        return self._hasher.hash(self._pepper.hash(_COMPARED, secret))

    def _matches(self, secret: str, hashed: str) -> bool:
        try:
            cost = argon2.extract_parameters(hashed)
            if cost.memory_cost > self._hasher.memory_cost or cost.time_cost > self._hasher.time_cost:
                raise InvalidDocumentError("one of its hashes takes too much time or memory to compare with")
            return self._hasher.verify(hashed, self._pepper.hash(_COMPARED, secret))
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            raise InvalidDocumentError("one of its hashes is no argon2 hash") from None

    async def _run(self, function: Callable[..., T], *arguments: str) -> T:
        # A caller that is cancelled before its turn takes the work out of the queue.
        work = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            return await deadline.met(work)
        except TimeoutError:
            raise HashingError("a hash was not computed before the deadline") from None
