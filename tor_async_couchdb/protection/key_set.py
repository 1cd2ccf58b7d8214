"""Rotates the keys of Tink key sets, as `python -m tor_async_couchdb keys` does.

A rotation without downtime has three steps. After each step give the new file to all services and restart
them, one after the other:

1. `add` a key: all services verify by it, and none signs with it yet.
2. `promote` it to primary: all services sign with it, and verify by both keys.
3. Re-sign the database, then `retire` the old key: its signatures do not verify any more.

A master key is rotated in the same way, except that step 3 is `rewrap`.

Tink can't change key sets from Python, so this module edits their JSON
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

_STATUS_ENABLED, _STATUS_RETIRED, _STATUS_DESTROYED = "ENABLED", "DISABLED", "DESTROYED"
_STATES = {_STATUS_ENABLED: "verifies", _STATUS_RETIRED: "retired", _STATUS_DESTROYED: "destroyed"}


class KeySetError(Exception):
    """A key set can't be read or changed. The message names the file and never quotes a key."""


def add_key(path: str | os.PathLike[str]) -> int:
    """Adds a key that verifies but does not sign yet; returns its id.

    Raises:
        KeySetError: the file holds no key set, or can't be changed.
    """
    keys = _read(path)
    ids = {key["keyId"] for key in keys["key"]}
    new = _new_key(keys)
    while new["keyId"] in ids:  # Tink chooses it at random among 2**32
        new = _new_key(keys)
    keys["key"].append(new)
    _replace(path, keys)
    return int(new["keyId"])


def _new_key(keys: dict[str, Any]) -> dict[str, Any]:
    """A new key of the same kind as the others."""
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
        KeySetError: the set can't be read or changed, or has no such key, or the key is not enabled.
    """
    keys = _read(path)
    key = _key(path, keys, key_id)
    if key["status"] != _STATUS_ENABLED:
        raise KeySetError(f"{path}: key {key_id} is {_state(key)}")
    keys["primaryKeyId"] = key_id
    _replace(path, keys)


def retire_key(path: str | os.PathLike[str], key_id: int) -> None:
    """Disables a key: its signatures do not verify any more. It stays in the file.

    Raises:
        KeySetError: the set can't be read or changed, or has no such key, or the key is the primary one or
            was destroyed.
    """
    keys = _read(path)
    key = _key(path, keys, key_id)
    if key_id == keys["primaryKeyId"]:
        raise KeySetError(f"{path}: key {key_id} is the primary one: promote another one first")
    if key["status"] == _STATUS_DESTROYED:
        raise KeySetError(f"{path}: key {key_id} is {_state(key)}")
    key["status"] = _STATUS_RETIRED
    _replace(path, keys)


def key_states(path: str | os.PathLike[str]) -> dict[int, str]:
    """The state of each key, by its id: "primary", "verifies", "retired" or "destroyed".

    Raises:
        KeySetError: the file holds no key set.
    """
    keys = _read(path)
    states = {key["keyId"]: _state(key) for key in keys["key"]}
    return states | {keys["primaryKeyId"]: "primary"}


def _state(key: dict[str, Any]) -> str:
    return _STATES[key["status"]]


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
    """The JSON of a key set that encrypts or signs; ValueError if the file holds none."""
    text = Path(path).read_text(encoding="utf-8")
    if not _encrypts(text):
        TamperingSigner.from_file(path)
    return json.loads(text)


def _replace(path: str | os.PathLike[str], keys: dict[str, Any]) -> None:
    """Replaces the file as a whole, for its owner only; refuses to if another process is replacing it."""
    target = Path(path).resolve()  # else a symbolic link would be replaced, not its target
    new_path = Path(f"{target}.new")
    try:
        create_private_file(new_path, json.dumps(keys, indent=2).encode())
        try:
            new_path.replace(target)
        except BaseException:
            new_path.unlink(missing_ok=True)
            raise
    except FileExistsError as error:
        raise KeySetError(f"{new_path}: exists: the key set is being changed, or was left so") from error
    except OSError as error:
        raise KeySetError(f"{path}: {error.strerror}") from error
