"""The values of loadgen's own options."""

import argparse
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MOST_FRUITS = 10_000
"""Each is created by a request of its own before the load starts."""


class Hosts(argparse.Action):
    """Joins the values of an option that is given several times with commas, as locust's page shows them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add a value to those so far."""
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, f"{before},{values}" if before else values)


class Services(argparse.Action):
    """Keeps services by name, and offers their names as the choices of the option `only`."""

    def __init__(self, *arguments: Any, only: argparse.Action, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._only: Any = only

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keep the services; locust's page has a field for the choice from now on."""
        setattr(namespace, self.dest, values)
        self._only.choices = list(values or ())
        self._only.include_in_web_ui = True


def services(text: str) -> dict[str, tuple[str, ...]]:
    """The URL of each service by its name, in "NAME=URL,NAME=URL".

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    urls: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, equals, url = (piece.strip() for piece in part.partition("="))
        if not (name and equals):
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=URL")
        if name in urls:
            raise argparse.ArgumentTypeError(f"there are two services {name!r}")
        urls[name] = (service_url(url),)
    return urls


def chosen(services: Mapping[str, Sequence[str]], names: Iterable[str] | None) -> dict[str, Sequence[str]]:
    """The services with these names; all of them if there are no names.

    Raises:
        argparse.ArgumentTypeError: there is no service of such a name.
    """
    wanted = list(services if names is None else names)
    for name in wanted:
        if name not in services:
            raise argparse.ArgumentTypeError(
                f"there is no service {name!r}: choose from {', '.join(services)}"
            )
    if not wanted:
        raise argparse.ArgumentTypeError(f"choose one service or more: {', '.join(services)}")
    return {name: services[name] for name in services if name in wanted}


def hosts(text: str) -> tuple[str, ...]:
    """The URLs between the commas, without slashes at their ends.

    Raises:
        argparse.ArgumentTypeError: one of them is no URL of a service.
    """
    return tuple(service_url(url) for part in text.split(",") if (url := part.strip()))


def service_url(text: str) -> str:
    """A URL such as `http://127.0.0.1:8446`, without slashes at its end.

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as http://127.0.0.1:8446")
    return text.rstrip("/")


def number_of_fruits(text: str) -> int:
    """From 1 to `MOST_FRUITS` fruits.

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MOST_FRUITS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of fruits: 1 to {MOST_FRUITS:,}")
    return int(text)


def percentage(text: str) -> int:
    """A whole number from 0 to 100.

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage: a whole number from 0 to 100")
    return int(text)


def pace(text: str) -> float:
    """How often a second something happens: more than never.

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    if not (re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and float(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, such as 0.5")
    return float(text)


def writable_file(text: str) -> Path:
    """A file that can be written; it isn't touched yet.

    Raises:
        argparse.ArgumentTypeError: its folder doesn't exist, or it or its folder can't be written.
    """
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder, not a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} can't be written")
    return path
