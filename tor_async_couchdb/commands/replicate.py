"""`replicate`: lets two databases replicate both ways."""

from __future__ import annotations

import argparse

from tor_async_couchdb.commands.command import Command
from tor_async_couchdb.installer.options import (
    add_boolean,
    add_connection_options,
    configure_logging,
    credentials_of,
)
from tor_async_couchdb.installer.replication import Master, connect, disconnect


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--between", required=True, metavar="URL", help="the one database, on any one node")
    parser.add_argument(
        "--and", required=True, metavar="URL", dest="and_", help="the other database, on any one node"
    )
    add_boolean(parser, "--delete", "false", "end the replication")
    add_connection_options(parser)


def _run(options: argparse.Namespace) -> int:
    configure_logging(options)
    credentials = credentials_of(options)
    masters = [Master.from_url(url, credentials) for url in (options.between, options.and_)]
    act = disconnect if options.delete else connect
    act(*masters, verify_host_ssl_cert=options.verify_host_ssl_cert)
    return 0


COMMAND = Command(
    "replicate",
    "let two databases replicate continuously, both ways",
    _add_options,
    _run,
    details="Running it again changes nothing, except that a replication that waits after an outage goes on"
    " at once. CouchDB's servers use the URLs as they are given here. If the two need different credentials,"
    " put them into the URLs; they are not stored there.",
)
