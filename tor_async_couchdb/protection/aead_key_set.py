"""Tink key sets for authenticated encryption with associated data (AEAD).

A ciphertext begins with the id of its key, so it can be decrypted as long as the set has that key:
https://developers.google.com/tink/wire-format
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self

_KEY_ID = slice(1, 5)  # after the version of the format


class AeadKeySet:
    """Encrypts by the primary key of a Tink key set, and decrypts by any enabled key of the set.

    Raises:
        ValueError: `text` is no cleartext JSON key set for AEAD.
    """

    def __init__(self, text: str) -> None:
        from tink import TinkError, aead, json_proto_keyset_format, secret_key_access

        aead.register()
        try:
            handle = json_proto_keyset_format.parse(text, secret_key_access.TOKEN)
            self._aead = handle.primitive(aead.Aead)
        except TinkError:
            # Its message may quote what could not be read, and that may be a key.
            raise ValueError("no Tink key set for authenticated encryption") from None
        self.text = text  # as secret as its keys
        info = handle.keyset_info()
        self.primary_id: int = info.primary_key_id
        self.key_ids = frozenset(key.key_id for key in info.key_info)

    @classmethod
    def new(cls) -> Self:
        """A set of one new AES-256-GCM key."""
        import tink
        from tink import aead, json_proto_keyset_format, secret_key_access

        aead.register()
        handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
        return cls(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a cleartext JSON key set, as `key_set` or Google's `tinkey` writes it.

        Raises:
            OSError: the file can't be read.
            ValueError: the file holds no such key set.
        """
        try:
            return cls(Path(path).read_text(encoding="utf-8"))
        except ValueError:
            raise ValueError(f"'{path}' holds no Tink key set for authenticated encryption") from None

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """The ciphertext, which decrypts only with the same associated data."""
        ciphertext: bytes = self._aead.encrypt(plaintext, associated_data)
        return ciphertext

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext.

        Raises:
            ValueError: no key of the set made this ciphertext with this associated data.
        """
        from tink import TinkError

        try:
            plaintext: bytes = self._aead.decrypt(ciphertext, associated_data)
        except TinkError:
            raise ValueError("does not decrypt") from None
        return plaintext

    def with_new_primary(self) -> Self:
        """The set with another key, which is the primary one."""
        keys, new = self._keys(), type(self).new()
        while new.primary_id in self.key_ids:  # Tink chooses it at random among 2**32
            new = type(self).new()
        return self._of([*keys["key"], *new._keys()["key"]], new.primary_id)

    def only_primary(self) -> Self:
        """The set with its primary key alone."""
        primary = [key for key in self._keys()["key"] if key["keyId"] == self.primary_id]
        return self._of(primary, self.primary_id)

    def _keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = json.loads(self.text)
        return keys

    @classmethod
    def _of(cls, keys: list[dict[str, Any]], primary_id: int) -> Self:
        return cls(json.dumps({"primaryKeyId": primary_id, "key": keys}))


def key_id_of(ciphertext: bytes) -> int:
    """The id of the key that a ciphertext names as its own."""
    return int.from_bytes(ciphertext[_KEY_ID])
