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
from suite.options import parse_test
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
# Two files at a time: most tests wait for a database or a process.
_TWO_AT_A_TIME = ("-n", "2", "--dist", "loadfile")
# How much tor_async_etcd's tests try: see its tests/amounts.py.
_MORE_AMOUNTS = {"ETCD_EXAMPLES": "300", "ETCD_KILLS": "20"}
_CONTRACT_CHECK = ("pytest", "-q", "tests.py")
_CONTRACT_CHECK_BY_NOSE = ("nosetests", "tests.py")
# The services run without Python's assert statements, as some deploy them.
_OPTIMIZED = {"PYTHONOPTIMIZE": "1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 if all passed."""
    started_s = time.monotonic()
    options = parse_test(arguments)
    amounts = _MORE_AMOUNTS if options.all else {}
    passed = [_step(command, environment=amounts) for command in commands(options)]
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_couchdb(Path(folder) / "couchdb", ANY_PORT) as couchdb,
        ):
            for i, sample in enumerate(_with_a_contract(options)):
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


def commands(options: argparse.Namespace) -> list[tuple[str, ...]]:
    """The checks and tests that need no running sample; of some samples only their own tests."""
    tests = _ALL_TESTS if options.all else _TESTS
    if options.only is None:
        return [*_CHECKS, (*tests, *_TWO_AT_A_TIME)]
    modules = [f"samples/tests/test_{name.rpartition('/')[2]}.py" for name in options.only]
    there = [module for module in modules if (ROOT / module).exists()]
    return [(*tests, *there)] if there else []


def _with_a_contract(options: argparse.Namespace) -> list[Sample]:
    return [
        sample
        for sample in SAMPLES
        if sample.meets_contract and (options.only is None or sample.name in options.only)
    ]


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
