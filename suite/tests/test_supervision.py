"""Services that end while the run goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from suite.errors import SuiteError
from suite.faults.tests.playing import wait_until
from suite.services import Service, ServiceCommand, wait_until_listening
from suite.supervision import Supervisor, UnknownServiceError, repeated
from suite.table import sample_named


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    """A service without a database, which it only misses when it is asked for its health."""
    command = ServiceCommand(sample_named("health").anywhere(), "http://127.0.0.1:1/fruits", {})
    with command.start(tmp_path, {}) as process:
        service = Service(command, wait_until_listening(process), process)
        with Supervisor([service], tmp_path, said.append) as supervisor, repeated(supervisor.look):
            yield supervisor


def test_service_that_ends_is_said_and_can_be_started_again_at_its_url(
    supervisor: Supervisor, said: list[str]
) -> None:
    service = supervisor.named("health")
    first = service.process
    first.kill()
    wait_until(lambda: bool(said), "a line about the end")
    assert said == [f"health has ended by SIGKILL; the run goes on. Its log: {first.log}"]
    assert supervisor.are_all_gone
    assert service.ended_at is not None
    supervisor.restart("health")
    assert requests.get(f"{service.url}/_version", timeout=10).ok
    assert service.process.log.name == "health_1.2.log"
    assert first.log.exists()  # what the first process has logged is still there
    assert said[1:] == [f"health was started again: {service.url}"]


def test_service_that_is_killed_on_purpose_is_said_once(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.kill("health")
    supervisor.kill("health")
    supervisor.look()
    assert said == ["health was killed."]


def test_restart_gives_a_service_another_environment(supervisor: Supervisor) -> None:
    supervisor.restart("health", {"CLOCK_OFFSET_S": "3600"})
    assert "3600 s fast" in supervisor.named("health").process.log.read_text()


def test_unknown_service_is_an_error_that_names_those_that_there_are(supervisor: Supervisor) -> None:
    for use in (supervisor.kill, supervisor.restart, supervisor.suspend, supervisor.resume):
        with pytest.raises(UnknownServiceError, match="there are health"):
            use("wealth")


def test_nothing_is_started_once_the_run_ends(supervisor: Supervisor) -> None:
    service = supervisor.named("health")
    supervisor.suspend("health")
    supervisor.__exit__()
    assert not service.is_running
    with pytest.raises(SuiteError, match="ending"):
        supervisor.restart("health")
