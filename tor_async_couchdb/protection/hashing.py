"""Hashes of what a service need not know, but has to recognize: to find it, or to compare it.

Both take a pepper: a secret that is not in the database. Who has the database alone can't try what the hashes
may be of, though an e-mail address can be guessed, and a PIN is one of ten thousand.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import hmac
import math
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import HashingError, InvalidDocumentError

_PEPPER_SIZE_BYTES = 64
# Each takes a core for some 50 ms, and 64 MiB.
_MAX_THREADS = 2
_COMPARED = "compared"

T = TypeVar("T")


class Pepper:
    """A secret of at least 64 random bytes, which is kept apart from the database.

    Raises:
        ValueError: it is shorter.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _PEPPER_SIZE_BYTES:
            raise ValueError(f"a pepper has at least {_PEPPER_SIZE_BYTES} bytes")
        self._secret = secret

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> None:
        """Writes a new one that only the file's owner can read; FileExistsError if there is a file."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_PEPPER_SIZE_BYTES)) + b"\n")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Pepper:
        """Reads one that `create` wrote.

        Raises:
            OSError: the file can't be read.
            ValueError: it holds no pepper.
        """
        try:
            return cls(base64.b64decode(Path(path).read_bytes().strip(), validate=True))
        except ValueError:
            raise ValueError(f"'{path}' holds no pepper") from None

    def hash(self, purpose: str, text: str) -> str:
        """The HMAC with SHA3-512 of a text: the same for the same purpose and text, 128 hexadecimal digits.

        With the purpose, such as a property's name, equal texts show as equal only within one property.
        """
        return hmac.digest(self._secret, f"{purpose}\0{text}".encode(), "sha3_512").hex()


class SlowHasher:
    """Hashes with argon2id (RFC 9106) what is only ever compared: each time otherwise, as it is salted.

    A few threads do it, off the event loop, and no more than these at a time.
    """

    def __init__(self, pepper: Pepper, hasher: argon2.PasswordHasher | None = None) -> None:
        self._pepper = pepper
        self._hasher = hasher or argon2.PasswordHasher()
        self._threads = concurrent.futures.ThreadPoolExecutor(_MAX_THREADS, "slow-hash")

    async def hash(self, secret: str) -> str:
        """The hash, with all that comparing takes but for the pepper.

        Raises:
            HashingError: it was not its turn before the deadline.
        """
        return await self._run(self._hash, secret)

    async def matches(self, secret: str, hashed: str) -> bool:
        """Whether a hash is one of the secret.

        Raises:
            HashingError: as `hash`.
            InvalidDocumentError: `hashed` is no such hash, or one that takes more than those made here.
        """
        return await self._run(self._matches, secret, hashed)

    def _hash(self, secret: str) -> str:
        return self._hasher.hash(self._pepper.hash(_COMPARED, secret))

    def _matches(self, secret: str, hashed: str) -> bool:
        try:
            cost = argon2.extract_parameters(hashed)
            if cost.memory_cost > self._hasher.memory_cost or cost.time_cost > self._hasher.time_cost:
                raise InvalidDocumentError("a hash in it takes too much to compare with")
            return self._hasher.verify(hashed, self._pepper.hash(_COMPARED, secret))
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            raise InvalidDocumentError("a hash in it is none of argon2") from None

    async def _run(self, function: Callable[..., T], *arguments: str) -> T:
        remaining_s = deadline.current().remaining_s()
        work = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            async with asyncio.timeout(None if remaining_s == math.inf else remaining_s):
                return await work  # who leaves before it has begun takes it back
        except TimeoutError:
            raise HashingError("a hash was not made before the deadline") from None
