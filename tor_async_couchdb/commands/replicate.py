"""Replication between databases, as a command."""

from __future__ import annotations

import argparse
import logging
import sys

import urllib3

from tor_async_couchdb.installer import option_types
from tor_async_couchdb.installer.command_line import credentials_of_environment
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.replication import Master, connect, disconnect


def main() -> int:
    """Connects or disconnects as the command line says. The exit status: 0, or 1 after one line.

    Raises:
        SystemExit: the command line is wrong (2), or asks for help (0).
    """
    parser = _parser()
    options = parser.parse_args()
    logging.basicConfig(level=options.log)
    if not options.verify_host_ssl_cert:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    try:
        credentials = options.creds or credentials_of_environment()
        masters = [Master.from_url(url, credentials) for url in (options.between, options.and_)]
        act = disconnect if options.delete else connect
        act(*masters, verify_host_ssl_cert=options.verify_host_ssl_cert)
    except InstallerError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Has two databases replicate both ways from now on. Running it again changes nothing,"
        " except that a replication that waits after an outage goes on at once.",
        epilog="CouchDB's servers use the URLs as they are given here.",
        allow_abbrev=False,
    )
    parser.add_argument("--between", required=True, metavar="URL", help="the one database")
    parser.add_argument("--and", required=True, metavar="URL", dest="and_", help="the other database")
    parser.add_argument(
        "--creds",
        type=option_types.user_colon_password,
        metavar="USER:PASSWORD",
        help="credentials for both [default: the environment's COUCHDB_USER and COUCHDB_PASSWORD];"
        " where they differ, in the URL: they are not stored in it",
    )
    parser.add_argument(
        "--delete", type=option_types.boolean, default=False, help="end the replication [default: false]"
    )
    parser.add_argument(
        "--verify_host_ssl_cert",
        type=option_types.boolean,
        default=True,
        help="trust only certificates of known authorities [default: true]",
    )
    parser.add_argument(
        "--log", type=option_types.logging_level, default="ERROR", help="the least severe level"
    )
    return parser
