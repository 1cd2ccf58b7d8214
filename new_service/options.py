"""The command line of ./new_service.sh.

`python -m new_service.options …` checks one before any package is installed: this module and what it imports
need only the standard library.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from new_service.properties import TYPES
from suite.table import SAMPLES

_MAX_PORT = 65535
_FIRST_UNPRIVILEGED_PORT = 1024


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line. A wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="./new_service.sh",
        usage="%(prog)s SAMPLE FOLDER --model NAME [OPTION ...]\n       %(prog)s --update FOLDER",
        description="Makes a service of your own from a sample, with all that it needs, and runs its tests.",
        epilog=f"Samples: {', '.join(sample.name for sample in SAMPLES)}.",
        allow_abbrev=False,
    )
    parser.add_argument("places", nargs="+", metavar="SAMPLE FOLDER", help="what to copy, and where to")
    parser.add_argument(
        "--update", action="store_true", help="merge what the sample of FOLDER has changed since"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="what the service stores, as a class: Invoice, OrderLine"
    )
    parser.add_argument(
        "--plural", metavar="NAME", help="several of it: people, order_lines [that of English]"
    )
    parser.add_argument(
        "--property",
        dest="properties",
        action="append",
        default=[],
        metavar="NAME:TYPE",
        help="a property in place of color; for several give it several times. Types: "
        + ", ".join(TYPES)
        + "; NAME:TYPE:encrypted is stored encrypted, NAME:TYPE:hashed only as a hash, to be found by",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="port of the service [one that is free]")
    parser.add_argument(
        "--suite",
        metavar="URL",
        help="where tor-async-suite is installed from: a git URL (git+https://…) or a checkout [this one]",
    )
    parser.add_argument("--caller", type=Path, default=Path(), help=argparse.SUPPRESS)  # where folders begin
    parser.add_argument("--no-test", action="store_true", help="don't run the new service's tests")
    options = parser.parse_args(arguments)
    if len(options.places) != (1 if options.update else 2):
        parser.error("give a FOLDER" if options.update else "give a SAMPLE and a FOLDER")
    if options.update and (
        options.model or options.plural or options.properties or options.port or options.suite
    ):
        parser.error("--update takes no other option: the project remembers its names")
    if not options.update and options.model is None:
        parser.error("give a --model")
    return options


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and _FIRST_UNPRIVILEGED_PORT <= int(text[:9]) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port from {_FIRST_UNPRIVILEGED_PORT} to {_MAX_PORT}"
        )
    return int(text)


if __name__ == "__main__":
    parse(sys.argv[1:])
