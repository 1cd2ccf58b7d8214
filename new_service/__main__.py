"""`./new_service.sh`: the command line."""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from new_service.creation import check_target, create, free_port
from new_service.errors import NewServiceError
from new_service.generation import Plan
from new_service.names import Names, check, model_of, package_of
from new_service.properties import TYPES, parse_property
from new_service.sample import read_sample
from new_service.update import Update, update
from suite.processes import interruptible
from suite.table import ROOT, SAMPLES

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
    parser.add_argument("--plural", metavar="NAME", help="several of it: people, order_lines [by rule]")
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


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 after a line on standard error, or if a test fails or a conflict is left."""
    options = parse(arguments)
    try:
        if options.update:
            return show(update((options.caller / options.places[0]).resolve()))
        target = (options.caller / options.places[1]).resolve()
        plan = _plan(options, target)
        create(target, plan)
    except NewServiceError as error:
        sys.stderr.write(f"./new_service.sh: {error}\n")
        return 1
    print(f"Made {target} from samples/{plan.sample.name}.", flush=True)
    if options.no_test:
        return 0
    completed = subprocess.run([target / "test.sh"], check=False)  # noqa: S603 - what was just made
    if completed.returncode == 0:
        print(f"\nAll of its tests pass. Now:\n    cd {shlex.quote(str(target))} && ./run.sh")
    return completed.returncode


def _plan(options: argparse.Namespace, target: Path) -> Plan:
    sample = read_sample(options.places[0])
    check_target(target)
    names = Names(
        package=package_of(target.name),
        model=model_of(options.model, options.plural),
        properties=tuple(map(parse_property, options.properties)),
    )
    check(names, sample)
    suite = _suite(options.suite or str(ROOT), options.caller)
    return Plan(sample, names, free_port() if options.port is None else options.port, suite)


def _suite(text: str, caller: Path) -> str:
    if text.startswith("git+"):
        return text
    folder = (caller / text).resolve()
    if not (folder / "tor_async_service").is_dir():
        raise NewServiceError(
            f"--suite {text}: neither a git URL (git+https://…) nor a checkout of tor-async-suite"
        )
    return str(folder)


def show(result: Update) -> int:
    """Prints what an update did. The exit status: 1 if there is something left to do by hand."""
    for title, paths in (
        ("merged", result.merged),
        ("added", result.added),
        ("deleted", result.deleted),
        ("CONFLICT, marked in the file", result.conflicts),
        ("CHANGED here and deleted there, or the reverse, so left as it is", result.kept),
    ):
        for path in paths:
            print(f"{title}: {path}")
    if not any((result.merged, result.added, result.deleted, result.conflicts, result.kept)):
        print("The sample has not changed.")
    else:
        print("Nothing is committed: look at it with git diff, run ./test.sh, and commit.")
    return 1 if result.conflicts or result.kept else 0


if __name__ == "__main__":
    with interruptible():
        sys.exit(main())
