"""Runs all checks and tests, then tests.py against each sample as a running service."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from suite.couchdb import CouchDB, running_couchdb
from suite.errors import SuiteError
from suite.installations import installed, running
from suite.processes import interruptible
from suite.services import ROOT, Sample, find_samples

_BIN = Path(sys.executable).parent
_ANY_PORT = 0


_CHECKS = (
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["lint-imports"],
    ["pytest", "-q"],
)
_CONTRACT_CHECK = ["pytest", "-q", "tests.py"]
_CONTRACT_CHECK_BY_NOSE = ["nosetests", "tests.py"]
# The services run without Python's assert statements, as some deploy them.
_OPTIMIZED = {"PYTHONOPTIMIZE": "1"}


def main() -> int:
    """The exit status: 0 if all passed."""
    started_s = time.monotonic()
    passed = [_step(" ".join(command), command) for command in _CHECKS]
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_couchdb(Path(folder) / "couchdb", _ANY_PORT) as couchdb,
        ):
            for i, sample in enumerate(find_samples()):
                checks = [_CONTRACT_CHECK, _CONTRACT_CHECK_BY_NOSE] if i == 0 else [_CONTRACT_CHECK]
                passed += _test_sample(sample, checks, couchdb, Path(folder))
    except SuiteError as error:
        print(error, file=sys.stderr)
        passed.append(False)
    print(f"\nThe whole took {time.monotonic() - started_s:.0f} s; of its steps")
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    return 0 if all(passed) else 1


def _test_sample(sample: Sample, checks: Sequence[Sequence[str]], couchdb: CouchDB, logs: Path) -> list[bool]:
    """Which of the checks pass for the service on a fresh database."""
    anywhere = dataclasses.replace(sample, port=_ANY_PORT)
    with (
        installed([anywhere], couchdb, "test") as installations,
        running(installations, logs, _OPTIMIZED) as services,
    ):
        environment = {"SERVICE_URL": services[0].url}
        return [_step(f"{sample.name}: {' '.join(check)}", check, environment) for check in checks]


def _step(title: str, command: Sequence[str], environment: dict[str, str] | None = None) -> bool:
    print(f"\n--- {title}", flush=True)
    completed = subprocess.run(  # noqa: S603 - the suite's own commands, no shell
        [_BIN / command[0], *command[1:]], cwd=ROOT, env=os.environ | (environment or {}), check=False
    )
    return completed.returncode == 0


if __name__ == "__main__":
    with interruptible():
        sys.exit(main())
