"""Makes Tink key sets and rotates their keys: `python -m tor_async_couchdb.protection.key_set --help`.

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
