"""What the tests of whole projects need: to make one, and to run its own tests on this environment."""

import os
import subprocess
import sys
from pathlib import Path

from new_service.__main__ import main
from suite.table import ROOT

TIMEOUT_S = 600.0


def made(folder: Path, sample: str, *options: str) -> Path:
    """The project that the command makes in a folder, with the options; its tests have not run."""
    assert main([sample, str(folder), "--no-test", *options]) == 0
    return folder


def environment() -> dict[str, str]:
    """The environment in which the scripts of a project use the packages of these tests, and this checkout.

    Without pytest-asyncio, which a new project does not have.
    """
    return os.environ | {
        "VENV": sys.prefix,
        "PYTHONPATH": str(ROOT),
        "MYPY_CACHE_DIR": str(
            ROOT / ".mypy_cache" / "new_service"
        ),  # with the libraries, from one test to the next
        "PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider",
    }


def assert_passes_its_tests(project: Path) -> str:
    """The output of the project's ./test.sh, which has to succeed."""
    with subprocess.Popen(  # noqa: S603 - what was just made
        [project / "test.sh"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.terminate()  # not kill: the service that it runs has to end, too
    assert process.returncode == 0, output
    return output
