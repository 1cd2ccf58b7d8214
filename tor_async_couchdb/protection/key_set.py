"""Makes Tink key sets and rotates their keys: `python -m tor_async_couchdb.protection.key_set --help`.

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

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.private_file import create_private_file
from tor_async_couchdb.protection.signing import TamperingSigner, new_key_set, new_key_set_text

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


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tor_async_couchdb.protection.key_set",
        description="Makes a Tink key set that signs documents, and rotates its keys.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("new", "make a key set of one key"),
        ("list", "show the ids of its keys, and what each is"),
        ("add", "add a key that verifies but does not sign yet, and print its id"),
        ("promote", "have another key sign from now on"),
        ("retire", "end a key: what it signed does not verify any more"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("file", metavar="FILE")
        if name in ("promote", "retire"):
            command.add_argument("key_id", metavar="KEY_ID", type=int)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says. Returns the exit status: 0, or 1 after one line on standard error."""
    options = _parse(arguments)
    try:
        match options.command:
            case "new":
                new_key_set(options.file)
            case "list":
                for key_id, state in key_states(options.file).items():
                    sys.stdout.write(f"{key_id} {state}\n")
            case "add":
                sys.stdout.write(f"{add_key(options.file)}\n")
            case "promote":
                promote_key(options.file, options.key_id)
            case "retire":
                retire_key(options.file, options.key_id)
    except KeySetError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{options.file}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
