import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.etcd import weight


def weigh(module: str) -> dict[str, float]:
    command = [sys.executable, weight.__file__, module]
    root = str(Path(weight.__file__).parents[2])
    done = subprocess.run(  # noqa: S603 - the command is made right here
        command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def test_import_of_the_client_is_measured_in_time_and_size() -> None:
    measured = weigh("tor_async_etcd")
    assert measured["import_ms"] > 1
    assert 0.05 < measured["installed_mb"] < 1


def test_standard_library_brings_nothing_along() -> None:
    assert weigh("asyncio")["installed_mb"] == 0
