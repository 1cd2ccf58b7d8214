"""The whole command line, and how its commands end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from tor_async_couchdb.commands import install, migrate, replicate
from tor_async_couchdb.commands.command import Command, add_commands
from tor_async_couchdb.commands.extra import missing
from tor_async_couchdb.errors import CouchDBError

try:
    from tor_async_couchdb.commands import keys, re_encrypt, re_sign, secrets
    from tor_async_couchdb.protection.key_set import KeySetError
except ModuleNotFoundError as error:  # the packages of the extra are not installed
    _expected_errors: tuple[type[Exception], ...] = (CouchDBError,)
    _protecting = tuple(
        missing(name, "protection", error) for name in ("re-sign", "re-encrypt", "keys", "secrets")
    )
else:
    _expected_errors = (CouchDBError, KeySetError)
    _protecting = (re_sign.COMMAND, re_encrypt.COMMAND, keys.COMMAND, secrets.COMMAND)

COMMANDS = (install.COMMAND, replicate.COMMAND, migrate.COMMAND, *_protecting)


def new_parser(commands: Iterable[Command] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the command line. The options that it returns have `run`, the command's function."""
    parser = argparse.ArgumentParser(
        prog="python -m tor_async_couchdb",
        description="Administers the databases, keys and secrets of services.",
        allow_abbrev=False,
    )
    add_commands(parser, commands)
    return parser


def main(arguments: Sequence[str] | None = None, commands: Iterable[Command] = COMMANDS) -> int:
    """Runs a command. Returns the exit status: 0, or 1 after a line on standard error.

    Raises:
        SystemExit: the command line is wrong (2), or asks for help (0).
    """
    parser = new_parser(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except _expected_errors as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except KeyboardInterrupt:
        reason = "interrupted"
    else:
        return status
    sys.stderr.write(f"{parser.prog}: {reason}\n")
    return 1
