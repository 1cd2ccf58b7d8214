"""`secrets`: makes the folder of secrets that protects sensitive properties, and ends data keys."""

from __future__ import annotations

import argparse
import sys

from tor_async_couchdb.commands.command import Command, add_commands
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.folder import Protector, new_protection


def data_keys_of(folder: str) -> DataKeys:
    """The data keys in a folder of secrets.

    Raises:
        OSError: one of its files can't be read.
        InstallerError: one of its files does not hold what it should.
    """
    try:
        return Protector.from_folder(folder).data_keys
    except ValueError as error:
        raise InstallerError(str(error)) from error


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="folder of the secrets")


def _add_folder_and_subject(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser)
    parser.add_argument("subject_id", metavar="SUBJECT", help="id of the subject")


def _new(options: argparse.Namespace) -> int:
    new_protection(options.folder)
    return 0


def _erase(options: argparse.Namespace) -> int:
    data_keys_of(options.folder).erase(options.subject_id)
    return 0


def _rewrap(options: argparse.Namespace) -> int:
    sys.stdout.write(f"{data_keys_of(options.folder).rewrap()} data keys wrapped by the primary key\n")
    return 0


def _retire(options: argparse.Namespace) -> int:
    count = data_keys_of(options.folder).retire()
    sys.stdout.write(f"the older data keys of {count} subjects deleted\n")
    return 0


_COMMANDS = (
    Command("new", "make a folder with new secrets", _add_folder, _new),
    Command(
        "erase",
        "delete a subject's data keys: nobody can ever read what they encrypted",
        _add_folder_and_subject,
        _erase,
    ),
    Command(
        "rewrap",
        "wrap the data keys by the primary key of the master key, so that its other keys can be retired",
        _add_folder,
        _rewrap,
    ),
    Command("retire", "delete the data keys that re-encrypt has replaced", _add_folder, _retire),
)

COMMAND = Command(
    "secrets",
    "make the secrets that protect sensitive properties, and end them",
    lambda parser: add_commands(parser, _COMMANDS),
    details="The folder's master_key.json is a key set; `keys` rotates it.",
)
