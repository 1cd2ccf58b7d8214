"""`install`: creates or upgrades a database."""

from __future__ import annotations

import argparse

from tor_async_couchdb.commands.command import Command
from tor_async_couchdb.installer.command_line import add_installation_options, install_by_options
from tor_async_couchdb.installer.options import add_database_options


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_database_options(parser)
    parser.add_argument("--design-docs", metavar="FOLDER", help="design documents, one NAME.json each")
    parser.add_argument("--seed-docs", metavar="FOLDER", help="seed documents, one *.json each")
    add_installation_options(parser)


def _run(options: argparse.Namespace) -> int:
    install_by_options(options, options.design_docs, options.seed_docs)
    return 0


COMMAND = Command(
    "install",
    "create or upgrade a database with its design documents and seed documents",
    _add_options,
    _run,
    details="Running it again changes nothing.",
)
