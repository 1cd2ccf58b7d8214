"""`python -m tor_async_service.local`, as a process of its own."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_service.local.command import main, parse
from tor_async_service.tests.processes import ROOT

TIMEOUT_S = 120.0
SERVICE = "tor_async_service.tests.thing_service"


@pytest.fixture
def environment(couchdb: CouchDBServer) -> dict[str, str]:
    """That of the command: it uses the CouchDB of this run."""
    return os.environ | {
        "COUCHDB_URL": couchdb.url,
        "COUCHDB_USER": couchdb.username,
        "COUCHDB_PASSWORD": couchdb.password,
    }


def local(arguments: Sequence[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tor_async_service.local", *arguments]
    return subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )


def databases(couchdb: CouchDBServer) -> set[str]:
    return {*couchdb.succeed("GET", "_all_dbs").json()}


def test_command_runs_while_the_service_does_and_its_status_is_the_whole_s(
    environment: dict[str, str], couchdb: CouchDBServer
) -> None:
    before = {name for name in databases(couchdb) if name.startswith("local_")}
    ask = shlex.join(["bash", "-c", 'curl -s --fail "$SERVICE_URL/_health?quick=false" && exit 7'])
    answered = local([SERVICE, "--while", ask], environment)
    assert (answered.returncode, '"green"' in answered.stdout) == (7, True), answered.stderr
    assert {name for name in databases(couchdb) if name.startswith("local_")} == before


def test_service_that_does_not_start_shows_its_log(environment: dict[str, str]) -> None:
    failed = local([SERVICE, "--while", "true", "--", "--no-such-option"], environment)
    assert failed.returncode == 1
    assert "the service did not start" in failed.stderr
    assert "unrecognized arguments: --no-such-option" in failed.stderr


def test_folder_that_is_not_there_is_named(environment: dict[str, str]) -> None:
    failed = local([SERVICE, "--design-docs=/absent", "--while", "true"], environment)
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (
        1,
        "python -m tor_async_service.local: /absent: no such folder",
    )


def test_sigterm_ends_the_service_and_keeps_its_database(
    environment: dict[str, str], couchdb: CouchDBServer, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    name = f"local_{os.getpid()}"
    arguments = ("--port", port, "--folder", str(tmp_path / "data"), "--database", name)
    command = [sys.executable, "-m", "tor_async_service.local", SERVICE, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:  # noqa: S603 - our own command
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            while not _is_listening(int(port)):
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    assert not _is_listening(int(port))
    couchdb.succeed("DELETE", name)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_options_of_the_service_follow_two_dashes_and_those_of_a_script_two_more() -> None:
    options = parse(["a.service", "--port=1", "--", "--keyset", "{key_set}", "--", "x"])
    assert (options.module, options.port, options.options) == (
        "a.service",
        1,
        ["--keyset", "{key_set}", "x"],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: MODULE"),
        (["a", "b"], "unrecognized arguments: b"),
        (["a", "--", "{keyset}"], "what stands in braces after --: 'keyset'"),
    ],
)
def test_wrong_command_line_ends_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err
