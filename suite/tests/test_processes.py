"""What becomes of processes when the suite is told to end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import sys, time
from pathlib import Path
from suite.processes import Process, interruptible

with interruptible(), Process("sleeper", ["sleep", "60"], Path(sys.argv[1]), {}) as process:
    print(process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_suite_and_what_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as suite:  # noqa: S603
        assert suite.stdout is not None
        pid = int(suite.stdout.readline())
        suite.send_signal(number)
        assert suite.wait(timeout=20) == 130
    assert not Path(f"/proc/{pid}").exists()
