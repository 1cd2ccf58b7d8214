"""What a service is told when it starts: options by its command line, secrets by its environment."""

import argparse
import dataclasses
import math
import os
from collections.abc import Mapping, Sequence

from tor_async_couchdb.database import Database
from tor_async_service.application import DEFAULT_DEADLINE_S


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """Where a service listens, which database it uses, and how long a request may take."""

    port: int
    ip: str
    database_url: str
    deadline_s: float
    username: str | None
    password: str | None = dataclasses.field(repr=False)

    def open_database(self) -> Database:
        """The database, not yet connected to."""
        return Database(self.database_url, username=self.username, password=self.password)


def parse(
    description: str, arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> Configuration:
    """The configuration; a wrong option ends the process with a line that names it, and status 2."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Credentials for CouchDB: the environment variables COUCHDB_USER and COUCHDB_PASSWORD.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=_port, default=8445, help="port to listen on; 0: any that is free")
    parser.add_argument("--ip", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--database",
        type=_database_url,
        default="http://127.0.0.1:5984/tor_async_couchdb_sample",
        metavar="URL",
        help="database to use",
    )
    parser.add_argument(
        "--deadline",
        type=_positive_seconds,
        default=DEFAULT_DEADLINE_S,
        metavar="SECONDS",
        help="how long a request may take",
    )
    options = parser.parse_args(arguments)
    return Configuration(
        port=options.port,
        ip=options.ip,
        database_url=options.database,
        deadline_s=options.deadline,
        username=environment.get("COUCHDB_USER"),
        password=environment.get("COUCHDB_PASSWORD"),
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _database_url(text: str) -> str:
    try:
        Database(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
