"""The common part of the commands etcd-export and etcd-import: options, connection, errors, progress."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import logging
import math
import os
import sys
from typing import TYPE_CHECKING

from tor_async_etcd.errors import EtcdError
from tor_async_etcd.kv.client import Client

if TYPE_CHECKING:
    from collections.abc import Coroutine

DISTRIBUTION = "tor-async-suite"


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that both commands have."""
    options = argparse.ArgumentParser(
        description=description,
        epilog="With authentication on, set $ETCD_USERNAME and $ETCD_PASSWORD.",
    )
    options.add_argument("-a", "--address", help="etcd's URL (default: $ETCD_URL or http://127.0.0.1:2379)")
    options.add_argument("-k", "--key-type", choices=["utf8", "binary"], default="utf8", help="default: utf8")
    options.add_argument(
        "-v", "--value-type", choices=["json", "binary", "utf8"], default="json", help="default: json"
    )
    options.add_argument(
        "-t", "--timeout", type=_seconds, default=10.0, help="seconds each request may take (default: 10)"
    )
    options.add_argument("--version", action="version", version=_version())
    return options


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text} is no positive number of seconds")
    return seconds


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "run from its source, not installed"


def connect(options: argparse.Namespace) -> Client:
    """Return a client for a command's options, with the credentials of the environment, if any.

    Raises:
        ValueError: the address is no URL, or its credentials are not those of the environment.
        TypeError: the environment has a user or a password, but not both.
    """
    username, password = os.environ.get("ETCD_USERNAME"), os.environ.get("ETCD_PASSWORD")
    return Client(
        options.address, timeout_s=options.timeout, username=username or None, password=password or None
    )


def run(command: Coroutine[None, None, None]) -> int:
    """Run a command and return its exit status. An error is one line on the standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")  # such as that it tries again
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
    """A counter on the standard error, if that is a terminal."""

    def __init__(self, what: str) -> None:
        self._what = what

    def show(self, count: int) -> None:
        """Show the count so far."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{count:,} {self._what}")
            sys.stderr.flush()

    def end(self) -> None:
        """End the line."""
        if sys.stderr.isatty():
            sys.stderr.write("\n")
