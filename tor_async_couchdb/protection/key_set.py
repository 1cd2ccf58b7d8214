"""Rotates the keys of Tink key sets, as `python -m tor_async_couchdb keys` does.

A rotation without downtime takes three steps, and after each all services are given the new file (one service
after the other, as each reads its file when it starts):

1. `add` a key: every service verifies by it, none signs with it yet.
2. `promote` it to primary: every service signs with it and verifies by both.
3. Re-sign the database, then `retire` the old key: what is signed with it does not verify any more.

With the master key of `protection` it is the same, but that its key set encrypts, and its step 3 is `rewrap`.

Tink's key sets can't be changed from Python, so this edits their JSON
(https://developers.google.com/tink/generate-plaintext-keyset shows its members).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.private_file import create_private_file
from tor_async_couchdb.protection.signing import TamperingSigner, new_key_set_text

_STATUS_RETIRED = "DISABLED"


class KeySetError(Exception):
    """A key set can't be read or changed; the text says which, and never quotes a key."""


def add_key(path: str | os.PathLike[str]) -> int:
    """Adds a key that verifies but does not sign yet; its id.

    Raises:
        KeySetError: the file holds no key set, or can't be changed.
    """
    keys = _read(path)
    ids = {key["keyId"] for key in keys["key"]}
    new = _new_key(keys)
    while new["keyId"] in ids:  # chosen by chance, out of 2**32
        new = _new_key(keys)
    keys["key"].append(new)
    _replace(path, keys)
    return int(new["keyId"])


def _new_key(keys: dict[str, Any]) -> dict[str, Any]:
    """A new key of the kind that the others are of."""
    text = AeadKeySet.new().text if _encrypts(json.dumps(keys)) else new_key_set_text()
    new: dict[str, Any] = json.loads(text)["key"][0]
    return new


def _encrypts(text: str) -> bool:
    try:
        AeadKeySet(text)
    except ValueError:
        return False
    return True


def promote_key(path: str | os.PathLike[str], key_id: int) -> None:
    """Makes a key the primary one, which signs; the others go on verifying.

    Raises:
        KeySetError: as `add_key`, or the set has no such key, or it is retired.
    """
    keys = _read(path)
    if _key(path, keys, key_id)["status"] == _STATUS_RETIRED:
        raise KeySetError(f"{path}: key {key_id} is retired")
    keys["primaryKeyId"] = key_id
    _replace(path, keys)


def retire_key(path: str | os.PathLike[str], key_id: int) -> None:
    """Ends a key: what it signed does not verify any more. It stays in the file, disabled.

    Raises:
        KeySetError: as `add_key`, or the set has no such key, or it is the primary one.
    """
    keys = _read(path)
    key = _key(path, keys, key_id)
    if key_id == keys["primaryKeyId"]:
        raise KeySetError(f"{path}: key {key_id} is the primary one: promote another one first")
    key["status"] = _STATUS_RETIRED
    _replace(path, keys)


def key_states(path: str | os.PathLike[str]) -> dict[int, str]:
    """What each key of the set is: "primary", "verifies" or "retired", by its id.

    Raises:
        KeySetError: the file holds no key set.
    """
    keys = _read(path)
    states = {key["keyId"]: _state(key) for key in keys["key"]}
    return states | {keys["primaryKeyId"]: "primary"}


def _state(key: dict[str, Any]) -> str:
    return "retired" if key["status"] == _STATUS_RETIRED else "verifies"


def _key(path: str | os.PathLike[str], keys: dict[str, Any], key_id: int) -> dict[str, Any]:
    for key in keys["key"]:
        if key["keyId"] == key_id:
            found: dict[str, Any] = key
            return found
    raise KeySetError(f"{path}: has no key {key_id}")


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        keys: dict[str, Any] = _valid_key_set(path)
    except OSError as error:
        raise KeySetError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise KeySetError(str(error)) from None
    return keys


def _valid_key_set(path: str | os.PathLike[str]) -> Any:
    """What is in a file that something encrypts or signs by; ValueError if nothing does."""
    text = Path(path).read_text(encoding="utf-8")
    if not _encrypts(text):
        TamperingSigner.from_file(path)
    return json.loads(text)


def _replace(path: str | os.PathLike[str], keys: dict[str, Any]) -> None:
    """Replaces the file as a whole, for its owner only; who changes it at the same time is refused."""
    new_path = Path(f"{os.fspath(path)}.new")
    try:
        create_private_file(new_path, json.dumps(keys, indent=2).encode())
        try:
            new_path.replace(path)
        except BaseException:
            new_path.unlink(missing_ok=True)
            raise
    except FileExistsError as error:
        raise KeySetError(f"{new_path}: exists: the key set is being changed, or was left so") from error
    except OSError as error:
        raise KeySetError(f"{path}: {error.strerror}") from error
