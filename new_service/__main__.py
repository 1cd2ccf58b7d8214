"""`./new_service.sh`: makes a service of your own, or updates one."""

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
from new_service.options import parse
from new_service.properties import parse_property
from new_service.sample import read_sample
from new_service.update import Update, update
from suite.processes import interruptible
from suite.table import ROOT


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
