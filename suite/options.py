"""The command lines of run_all_samples.sh and test_all_samples.sh.

`python -m suite.options NAME …` checks one before any package is installed: this module and what it imports
need only the standard library.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from suite.table import SAMPLES

_EPILOG = "A CouchDB to use in place of the stand-in: COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD."


def parse_run(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of run_all_samples.sh. A wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="./run_all_samples.sh",
        description="Runs all samples on one database and puts them under load. Ctrl-C ends everything.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--once", action="store_true", help="end after the load; status 1 if anything failed")
    parser.add_argument(
        "--only",
        type=_samples,
        metavar="NAMES",
        help="run only these samples, separated by commas, such as crud/retry,leader",
    )
    parser.add_argument(
        "--duration",
        type=_seconds,
        default=15,
        metavar="SECONDS",
        help="length of the load on each service (default: 15); 0 is --no-load",
    )
    parser.add_argument("--no-load", action="store_true", help="start the services and leave them alone")
    parser.add_argument(
        "--chaos",
        type=_seed,
        metavar="SEED",
        help="switch faults on and off under the load, as this number says; status 1 if a change was lost",
    )
    options = parser.parse_args(arguments)
    options.duration = 0 if options.no_load else options.duration
    if options.chaos is not None and not options.duration:
        parser.error("--chaos needs a load: leave --no-load and --duration 0 out")
    return options


def parse_test(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of test_all_samples.sh. A wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="./test_all_samples.sh",
        description="Runs all checks and tests, then tests.py against each sample as a running service. "
        "It takes about ten minutes on two cores.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--all", action="store_true", help="also run the long tests: up to 80 minutes on two cores"
    )
    parser.add_argument(
        "--only",
        type=_samples,
        metavar="NAMES",
        help="test only these samples, separated by commas: their own tests and tests.py against each",
    )
    return parser.parse_args(arguments)


def _samples(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    known = [sample.name for sample in SAMPLES]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no sample {name!r}: there are {', '.join(known)}")
    return names


def _seconds(text: str) -> int:
    if not _is_number(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, 0 or more")
    return int(text)


def _seed(text: str) -> int:
    if not _is_number(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of up to nine digits")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


_COMMANDS: Mapping[str, Callable[[Sequence[str]], argparse.Namespace]] = {
    "run_all_samples.sh": parse_run,
    "test_all_samples.sh": parse_test,
}

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](sys.argv[2:])
