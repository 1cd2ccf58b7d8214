"""`python -m suite.faults`, and the file that tells it about a run."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.background import EventLoopThread
from suite.control.load import LoadControl
from suite.control.server import Controls, control_server
from suite.couchdb import CouchDB
from suite.database_keeper import DatabaseKeeper
from suite.environment_file import environment_file
from suite.faults.__main__ import main
from suite.faults.fault import Fault, Grade
from suite.faults.stage import Stage
from suite.faults.switchboard import Switchboard
from suite.services import ServiceCommand
from suite.supervision import Supervisor
from suite.table import sample_named


def _say(_: str) -> None:
    pass


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    """A run with one fault, that this terminal knows."""
    couchdb = CouchDB("http://127.0.0.1:1", "admin", "secret")
    slow = Fault("slow", "All takes longer.", "duration", Grade(5, 1, 9, "ms"), lambda _: None, lambda: None)
    with (
        EventLoopThread() as loop,
        Supervisor([], Path(), _say) as supervisor,
        Switchboard([slow], _say) as switchboard,
    ):
        stage = Stage(supervisor, couchdb, DatabaseKeeper(couchdb, _say))
        controls = Controls(stage, switchboard, LoadControl("http://127.0.0.1:1", supervisor))
        with control_server(controls, loop) as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            yield switchboard


def test_fault_is_switched_and_shown(run: Switchboard, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == "slow: off; from 1 to 9 ms\n  All takes longer.\n"
    assert main(["on", "slow", "7"]) == 0
    assert run.state("slow")["current_grade"] == 7
    assert capsys.readouterr().out.startswith("slow: on (7 ms); ")
    assert main(["off", "slow"]) == 0
    assert capsys.readouterr().out == "slow: off\n"
    assert main(["on", "slow"]) == main(["off"]) == 0
    assert capsys.readouterr().out.endswith("all faults: off\n")
    assert not run.state("slow")["is_on"]


@pytest.mark.parametrize(
    ("arguments", "words"), [(["on", "fast"], "no fault 'fast'"), (["on", "slow", "10"], "from 1 to 9 ms")]
)
@pytest.mark.usefixtures("run")
def test_refusal_is_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert words in capsys.readouterr().err


def test_terminal_that_does_not_know_the_run_is_told_how_it_can(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SUITE_CONTROL_URL", raising=False)
    assert main([]) == 1
    assert "source .run/environment" in capsys.readouterr().err
    monkeypatch.setenv("SUITE_CONTROL_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUITE_CONTROL_TOKEN", "old")
    assert main([]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_file_names_the_databases_and_is_for_this_user_alone(tmp_path: Path) -> None:
    couchdb = CouchDB("http://127.0.0.1:1", "admin", "it's secret")
    commands = [
        ServiceCommand(sample_named("crud/multi_master"), f"http://127.0.0.1:1/{number}", {}, number)
        for number in (1, 2)
    ]
    with environment_file(tmp_path, couchdb, commands, {"SUITE_CONTROL_TOKEN": "abc"}) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        lines = path.read_text().splitlines()
    assert not path.exists()
    assert lines == [
        "export COUCHDB_URL=http://127.0.0.1:1",
        "export COUCHDB_USER=admin",
        "export COUCHDB_PASSWORD='it'\"'\"'s secret'",
        "export CRUD_MULTI_MASTER_DATABASE=http://127.0.0.1:1/1",
        "export CRUD_MULTI_MASTER_2_DATABASE=http://127.0.0.1:1/2",
        "export SUITE_CONTROL_TOKEN=abc",
    ]
