"""run_all_samples.sh as a process, on ports and in a folder of the test's own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types
import pytest

from suite.only_run import only_run
from suite.table import ROOT, SAMPLES
from tor_async_etcd.testing import free_ports

_TIMEOUT_S = 240.0  # eight loads, perhaps on a busy machine


class Run:
    """The suite as a process, and what it has said so far."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        page_port: int | None = None,
    ) -> None:
        self._output = folder / "output"
        ports = [str(page_port or free_ports(1)[0]), str(free_ports(1)[0])]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - the suite itself
                [sys.executable, "-m", "suite.elsewhere", str(folder), *ports, *options],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"COLUMNS": "200"} | (environment or {}),
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_for(self, text: str) -> None:
        deadline_s = time.monotonic() + _TIMEOUT_S
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline_s, self.output
            time.sleep(0.05)

    def status(self) -> int:
        return self.process.wait(_TIMEOUT_S)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[Run]]:
    """Runs that are stopped in the end."""
    started: list[Run] = []
    yield started
    for run in started:
        run.process.terminate()
        run.status()


def _ports_of(output: str) -> list[int]:
    return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", output)]


def _assert_nothing_listens(output: str) -> None:
    for port in _ports_of(output):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} is still in use"


def _words(text: str) -> set[str]:
    """The words of a text, without ids and the names of folders."""
    return set(
        re.findall(
            r"[A-Za-z_-]{2,}", re.sub(r"[0-9a-f]{32}|\S*/(logs|couchdb)(/|$)", "", text, flags=re.MULTILINE)
        )
    )


def test_run_once_shows_what_the_readme_shows_and_leaves_nothing(tmp_path: Path, runs: list[Run]) -> None:
    run = Run(tmp_path, "--once", "--duration", "2")
    runs.append(run)
    assert run.status() == 0, run.output
    shown = re.search(
        r"```text\n\$ ./run_all_samples.sh --once\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert shown is not None
    if "COUCHDB_URL" not in os.environ:
        assert _words(run.output) == _words(shown[1])
        _assert_nothing_listens(run.output)
    loaded = [sample.name.removeprefix("crud/") for sample in SAMPLES if sample.is_under_load]
    assert (
        re.findall(r"^(\w+) +(?:\S+ +){6}0 +\S+ +\S+(?: s)?$", run.output, re.MULTILINE) == loaded
    )  # none lost any
    assert re.search(r"updates lost +│ +0 │$", run.output, re.MULTILINE)  # though masters were cut off


@pytest.mark.parametrize(
    ("said", "number"),
    [("CouchDB ", signal.SIGHUP), ("services ...", signal.SIGTERM), ("Load on", signal.SIGINT)],
)
def test_signal_stops_everything(tmp_path: Path, runs: list[Run], said: str, number: signal.Signals) -> None:
    run = Run(tmp_path, "--only", "crud/basic,crud/retry", "--duration", "30")
    runs.append(run)
    run.wait_for(said)
    run.process.send_signal(number)
    assert run.status() == 0, run.output
    assert run.output.endswith("Stopped.\n")
    assert "Traceback" not in run.output
    if "COUCHDB_URL" not in os.environ:
        _assert_nothing_listens(run.output)


def _child(run: Run, word: str) -> psutil.Process:
    """The process that the run has started with this word in its command."""
    children = psutil.Process(run.process.pid).children()
    return next(child for child in children if any(word in part for part in child.cmdline()))


def test_run_goes_on_while_a_service_is_left(tmp_path: Path, runs: list[Run]) -> None:
    run = Run(tmp_path, "--no-load", "--only", "health,metrics")
    runs.append(run)
    run.wait_for("Ctrl-C ends everything.")
    _child(run, "samples.metrics.service").kill()
    run.wait_for("metrics has ended by SIGKILL; the run goes on. Its log: ")
    if "COUCHDB_URL" not in os.environ:
        _child(run, "server.js").kill()
        run.wait_for("The database has ended; it is started again.")
        run.wait_for("The database runs again: ")
    _child(run, "locust").kill()
    run.wait_for("Locust's page has ended; the run goes on.")
    _child(run, "samples.health.service").kill()
    assert run.status() == 1
    assert run.output.splitlines()[-1] == "No service is left."


def test_second_run_is_told_that_there_is_a_first(tmp_path: Path) -> None:
    with only_run(tmp_path) as say_where:
        say_where("http://127.0.0.1:8088")
        run = Run(tmp_path, "--once")
        assert run.status() == 1
    assert re.fullmatch(r"Already running, since .*, at http://127.0.0.1:8088\.\n", run.output)


def test_nothing_breaks_inside_a_word_on_a_narrow_screen(tmp_path: Path, runs: list[Run]) -> None:
    run = Run(tmp_path, "--no-load", "--only", "crud/basic,crud/retry", environment={"COLUMNS": "80"})
    runs.append(run)
    run.wait_for("Ctrl-C ends everything.")
    too_long = [line for line in run.output.splitlines() if len(line) > 80]
    assert [
        line for line in too_long if " " in line.strip()
    ] == []  # a word alone, such as a path, stays whole
    last = run.output.splitlines()[-3:]
    assert last[-1] == "Ctrl-C ends everything."
    assert any(line.startswith("More load: http://127.0.0.1:") for line in last)


@pytest.mark.long
def test_chaos_loses_nothing_and_leaves_no_fault_on(tmp_path: Path, runs: list[Run]) -> None:
    run = Run(tmp_path, "--once", "--chaos", "7", "--duration", "20", "--only", "crud/retry,leader")
    runs.append(run)
    assert run.status() == 0, run.output
    assert "Chaos 7" in run.output
    switched_on = re.findall(r"^Fault (\S+) is on", run.output, re.MULTILINE)
    assert set(switched_on) == set(re.findall(r"^Fault (\S+) is off", run.output, re.MULTILINE))
    assert len(switched_on) > 3
    assert "No acknowledged change was lost." in run.output


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "COUCHDB_URL: required format is http[s]://host:port (unset it to use the stand-in)."),
        (
            "http://a:b@127.0.0.1:1",
            "COUCHDB_URL: leave user and password out, and set COUCHDB_USER and COUCHDB_PASSWORD to them.",
        ),
        (
            "http://127.0.0.1:1,",
            "COUCHDB_URL: required format is http[s]://host:port (unset it to use the stand-in).",
        ),
        (
            "http://127.0.0.1:1,http://127.0.0.1:2",
            "COUCHDB_URL is http://127.0.0.1:1 (unset it to use the stand-in): "
            "can't be reached: is CouchDB running there?",
        ),
        (
            "http://127.0.0.1:1",
            "COUCHDB_URL is http://127.0.0.1:1 (unset it to use the stand-in): "
            "can't be reached: is CouchDB running there?",
        ),
    ],
)
def test_couchdb_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, runs: list[Run], url: str, sentence: str
) -> None:
    run = Run(tmp_path, "--once", environment={"COUCHDB_URL": url})
    runs.append(run)
    assert run.status() == 1
    assert run.output == f"Asking the CouchDB that COUCHDB_URL names ...\n{sentence}\n"


def test_port_in_use_is_named_before_anything_starts(
    tmp_path: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = Run(tmp_path, "--once", page_port=port)
        assert run.status() == 1
    assert run.output == f"Port {port} is in use and needed for locust's page: stop what listens there.\n"
