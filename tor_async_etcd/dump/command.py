"""What the commands etcd-export and etcd-import have in common."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING

from tor_async_etcd.errors import EtcdError
from tor_async_etcd.kv.client import Client

if TYPE_CHECKING:
    from collections.abc import Coroutine

DISTRIBUTION = "tor-async-couchdb"


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that both have."""
    options = argparse.ArgumentParser(
        description=description,
        epilog="With authentication on, set $ETCD_USERNAME and $ETCD_PASSWORD.",
    )
    options.add_argument("-a", "--address", help="etcd's URL (default: $ETCD_URL or http://127.0.0.1:2379)")
    options.add_argument("-k", "--key-type", choices=["utf8", "binary"], default="utf8", help="default: utf8")
    options.add_argument(
        "-v", "--value-type", choices=["json", "binary", "utf8"], default="json", help="default: json"
    )
    options.add_argument("--version", action="version", version=_version())
    return options


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "run from its source, not installed"


def connect(address: str | None) -> Client:
    """Return a client with the credentials of the environment. Raises ValueError for a bad URL."""
    username, password = os.environ.get("ETCD_USERNAME"), os.environ.get("ETCD_PASSWORD")
    return Client(address, username=username or None, password=password or None)


def run(command: Coroutine[None, None, None]) -> int:
    """Run a command and return its exit status; what goes wrong is one line on the standard error."""
    try:
        asyncio.run(command)
    except (EtcdError, OSError, TypeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


class Progress:
    """A counter on the standard error, if somebody looks at it."""

    def __init__(self, what: str) -> None:
        self._what = what

    def show(self, count: int) -> None:
        """Show how many there are so far."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{count:,} {self._what}")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if sys.stderr.isatty():
            sys.stderr.write("\n")
