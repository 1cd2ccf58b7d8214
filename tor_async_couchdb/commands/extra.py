"""A command that needs an extra of the distribution, where that is not installed."""

from __future__ import annotations

import argparse

from tor_async_couchdb.commands.command import Command
from tor_async_couchdb.installer.errors import InstallerError


def missing(name: str, extra: str, error: ModuleNotFoundError) -> Command:
    """A command that takes any arguments, and fails with a sentence that names the extra."""
    reason = f"'{name}' needs the extra '{extra}' of tor-async-suite, which is not installed: {error.msg}"

    def fail(options: argparse.Namespace) -> int:
        raise InstallerError(reason)

    return Command(name, f"needs the extra {extra}, which is not installed", _take_all, fail)


def _take_all(parser: argparse.ArgumentParser) -> None:
    parser.prefix_chars = "\0"  # so that nothing is an option
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
