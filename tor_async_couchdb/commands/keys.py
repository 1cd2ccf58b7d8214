"""`keys`: makes Tink key sets and rotates their keys."""

from __future__ import annotations

import argparse
import sys

from tor_async_couchdb.commands.command import Command, add_commands
from tor_async_couchdb.protection.key_set import add_key, key_states, promote_key, retire_key
from tor_async_couchdb.protection.signing import new_key_set


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="file of the key set")


def _add_file_and_key_id(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("key_id", metavar="KEY_ID", type=int, help="id of the key, which `list` shows")


def _new(options: argparse.Namespace) -> int:
    new_key_set(options.file)
    return 0


def _list(options: argparse.Namespace) -> int:
    for key_id, state in key_states(options.file).items():
        sys.stdout.write(f"{key_id} {state}\n")
    return 0


def _add(options: argparse.Namespace) -> int:
    sys.stdout.write(f"{add_key(options.file)}\n")
    return 0


def _promote(options: argparse.Namespace) -> int:
    promote_key(options.file, options.key_id)
    return 0


def _retire(options: argparse.Namespace) -> int:
    retire_key(options.file, options.key_id)
    return 0


_COMMANDS = (
    Command("new", "make a key set of one key that signs", _add_file, _new),
    Command("list", "show the id and the state of each key", _add_file, _list),
    Command("add", "add a key that verifies but does not sign yet, and print its id", _add_file, _add),
    Command("promote", "let another key sign from now on", _add_file_and_key_id, _promote),
    Command("retire", "disable a key: what it signed no longer verifies", _add_file_and_key_id, _retire),
)

COMMAND = Command(
    "keys",
    "make a key set that signs documents, and rotate its keys",
    lambda parser: add_commands(parser, _COMMANDS),
    details="A rotation takes three steps: add, promote, retire. After each step, give the file to all"
    " services; before the last, run re-sign.",
)
