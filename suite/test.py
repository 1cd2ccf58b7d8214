"""Runs all checks and tests, then tests.py against each sample as a running service."""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from suite.couchdb import CouchDB, running_couchdb
from suite.errors import SuiteError
from suite.installations import installed
from suite.processes import interruptible
from suite.services import running
from suite.table import ANY_PORT, ROOT, SAMPLES, Sample, without_a_row

_BIN = Path(sys.executable).parent

_CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)
_TESTS = ("pytest", "-q")
# Without the marker expression of pyproject.toml, which leaves the long tests out.
_ALL_TESTS = ("pytest", "-q", "-m", "long or not long", "--hypothesis-profile=long")
# How much tor_async_etcd's tests try: see its tests/amounts.py.
_MORE_AMOUNTS = {"ETCD_EXAMPLES": "300", "ETCD_KILLS": "20"}
_CONTRACT_CHECK = ("pytest", "-q", "tests.py")
_CONTRACT_CHECK_BY_NOSE = ("nosetests", "tests.py")
# The services run without Python's assert statements, as some deploy them.
_OPTIMIZED = {"PYTHONOPTIMIZE": "1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 if all passed."""
    started_s = time.monotonic()
    options = parse_options(arguments)
    amounts = _MORE_AMOUNTS if options.all else {}
    passed = [_step(command, environment=amounts) for command in commands(options)]
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_couchdb(Path(folder) / "couchdb", ANY_PORT) as couchdb,
        ):
            for i, sample in enumerate(sample for sample in SAMPLES if sample.meets_contract):
                checks = [_CONTRACT_CHECK, _CONTRACT_CHECK_BY_NOSE] if i == 0 else [_CONTRACT_CHECK]
                passed += _test_sample(sample, checks, couchdb, Path(folder))
    except SuiteError as error:
        print(error, file=sys.stderr)
        passed.append(False)
    for name in without_a_row():
        print(f"samples/{name} was left out: it has no row in suite/table.py.", file=sys.stderr)
        passed.append(False)
    print(f"\nThe whole took {time.monotonic() - started_s:.0f} s; of its steps")
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    return 0 if all(passed) else 1


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line. A wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="./test_all_samples.sh",
        description="Runs all checks and tests, then tests.py against each sample as a running service. "
        "It takes about ten minutes on two cores.",
        epilog="A CouchDB to use in place of the stand-in: COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--all", action="store_true", help="also run the long tests: up to 80 minutes on two cores"
    )
    return parser.parse_args(arguments)


def commands(options: argparse.Namespace) -> list[tuple[str, ...]]:
    """The checks and tests that need no running sample."""
    return [*_CHECKS, _ALL_TESTS if options.all else _TESTS]


def _test_sample(sample: Sample, checks: Sequence[Sequence[str]], couchdb: CouchDB, logs: Path) -> list[bool]:
    """Which of the checks pass for the service on a fresh database."""
    with (
        installed([sample.anywhere()], couchdb, "test") as service_commands,
        running(service_commands, logs, _OPTIMIZED) as services,
    ):
        environment = {"SERVICE_URL": services[0].url}
        return [_step(check, f"{sample.name}: ", environment) for check in checks]


def _step(command: Sequence[str], title: str = "", environment: dict[str, str] | None = None) -> bool:
    print(f"\n--- {title}{shlex.join(command)}", flush=True)
    completed = subprocess.run(  # noqa: S603 - the suite's own commands, no shell
        [_BIN / command[0], *command[1:]], cwd=ROOT, env=os.environ | (environment or {}), check=False
    )
    return completed.returncode == 0


if __name__ == "__main__":
    with interruptible():
        sys.exit(main())
