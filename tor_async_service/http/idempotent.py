"""Requests that a client may repeat: `Idempotency-Key` names a change, and each change is made once.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ (draft 07)
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import tornado.web

from tor_async_couchdb.model.canonical import canonical_bytes
from tor_async_couchdb.model.used_keys import KeyUse
from tor_async_service.http.answers import Parameter, refuses, takes
from tor_async_service.http.handler import ServiceHandler

# A string of RFC 9651, section 3.3.3.
_STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPED = re.compile(r"\\(.)")
_MAX_SIZE_BYTES = 255
_HASH_SIZE_DIGITS = 32

_KEY = Parameter(
    Annotated[str, msgspec.Meta(pattern=r'^"[A-Za-z0-9-]{1,255}"$')],
    "Names the change, so that it is made once however often the request is sent.",
    place="header",
    is_required=True,
)

CLIENT_HEADER = "Client-Id"


def key_of(header: str) -> str:
    """The key in the value of `Idempotency-Key`.

    Raises:
        ValueError: it is no quoted string of 1 to 255 bytes.
    """
    text = _STRING.fullmatch(header.strip(" \t"))
    key = "" if text is None else _ESCAPED.sub(r"\1", text[1])
    if not 1 <= len(key) <= _MAX_SIZE_BYTES:
        raise ValueError(f'must be a quoted string of 1 to {_MAX_SIZE_BYTES} bytes, such as "8e03978e-40d5"')
    return key


class KeysInUse:
    """The keys of the requests that a process is answering."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    @contextlib.contextmanager
    def using(self, key: str) -> Iterator[None]:
        """Has the key in use during the block; 409 if it is already."""
        if key in self._keys:
            raise tornado.web.HTTPError(409, "The first request with this Idempotency-Key is under way.")
        self._keys.add(key)
        try:
            yield
        finally:
            self._keys.remove(key)


class IdempotentHandler(ServiceHandler):
    """A handler whose requests are named by their clients, so that each change is made once.

    A name counts for one client and one path. `settings` has the `keys_in_use`, a `KeysInUse`.
    """

    def client(self) -> str:
        """Who sent the request. Override it where clients log in, so that none uses the keys of another."""
        return self.request.headers.get(CLIENT_HEADER, "")

    @takes("Idempotency-Key", _KEY)
    @refuses(400, 409, 422)
    @contextlib.contextmanager
    def idempotency_key(self, body: Any = None) -> Iterator[KeyUse]:
        """The use of the request's key for the change that method and `body` ask for.

        400 if there is no key; 409 while the first request with it is under way in this process.
        """
        header = self.request.headers.get("Idempotency-Key")
        if header is None:
            raise tornado.web.HTTPError(
                400, "Send an Idempotency-Key, and the same one when you repeat the request."
            )
        try:
            key = key_of(header)
        except ValueError as error:
            raise tornado.web.HTTPError(400, f"Idempotency-Key {error}.") from error
        use = KeyUse(_hash(self.client(), self.request.path, key), _hash(self.request.method, body))
        keys_in_use: KeysInUse = self.settings["keys_in_use"]
        with keys_in_use.using(use.key):
            yield use


def _hash(*parts: Any) -> str:
    return hashlib.sha256(canonical_bytes(parts)).hexdigest()[:_HASH_SIZE_DIGITS]
