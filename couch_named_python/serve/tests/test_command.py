import signal
import subprocess
import sys
from pathlib import Path

import pytest

from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess

COMMAND = [sys.executable, "-m", "couch_named_python.serve.command"]


def test_what_functions_print_goes_to_the_log_and_not_into_the_protocol(server: QueryServerProcess) -> None:
    server.add_functions("prints", "emit_once")
    assert server.prompt("map_doc", {"a": 1}) == [[[None, None]], [["baz", 1]]]
    assert server.logs == ["printed 1", "no input"]
    server.process.terminate()
    assert server.process.stderr is not None
    assert server.process.stderr.read() == b"from a program\n"


def test_a_closed_pipe_ends_it_quietly(server: QueryServerProcess) -> None:
    server.prompt("reset")
    _, errors = server.process.communicate(timeout=10)
    assert (server.process.returncode, errors) == (0, b"")
    server.process.stdin = None


def test_an_interrupt_ends_it_without_a_traceback(server: QueryServerProcess) -> None:
    server.prompt("reset")
    server.process.send_signal(signal.SIGINT)
    assert server.exit_status() == -signal.SIGINT
    assert server.process.stderr is not None
    assert server.process.stderr.read() == b""


def test_an_answer_that_nobody_reads_ends_it_quietly(server: QueryServerProcess) -> None:
    server.prompt("reset")
    assert server.process.stdout is not None
    server.process.stdout.close()
    server.send("reset")
    assert server.exit_status() == 1
    assert server.process.stderr is not None
    assert server.process.stderr.read() == b""
    server.process.stdout = None


def test_the_allow_list_is_an_option() -> None:
    process = QueryServerProcess()
    assert process.prompt("add_fun", f"{FUNCTIONS}.emit_once")[:2] == ["error", "compilation_error"]
    process.close()


def test_help_and_wrong_usage() -> None:
    shown = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)  # noqa: S603
    assert "--allow MODULE" in shown.stdout
    assert subprocess.run([*COMMAND, "nonsense"], capture_output=True, check=False).returncode == 2  # noqa: S603


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.skipif("coverage" in sys.modules, reason="coverage takes memory itself")
def test_an_idle_server_takes_less_than_25_megabytes(server: QueryServerProcess) -> None:
    server.add_functions("emit_once")
    server.prompt("map_doc", {"a": 1})
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    sizes_kb = {line.split()[0]: line.split()[1] for line in status.splitlines() if line.endswith("kB")}
    assert int(sizes_kb["VmRSS:"]) < 25 * 1024
