"""The table of samples, and a sample that only this test knows."""

from pathlib import Path

import pytest
import requests

from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.resources import resources_of
from suite.services import running
from suite.table import SAMPLES, Sample, sample_named, without_a_row
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_service.local.resources import filled

_GREETING_SERVICE = """
from tor_async_service import Option, ServiceApplication, ServiceHandler, run

class GreetingHandler(ServiceHandler):
    async def get(self):
        self.write_json({"greeting": self.settings["greeting"]})

def make_app(database, greeting, parts=None):
    routes, settings = [("/greeting", GreetingHandler)], {"greeting": greeting}
    return ServiceApplication(routes, database, version="1", settings=settings, parts=parts)

if __name__ == "__main__":
    run(make_app, "Greets.", Option("greeting", "WORD", "how to greet"))
"""
GREETING = Sample("polite/greeting", 0, 2, ("--greeting", "hello"), package="made_up")


@pytest.fixture
def server(couchdb: CouchDBServer) -> CouchDB:
    return CouchDB(couchdb.url, couchdb.username, couchdb.password)


@pytest.fixture
def made_up_folder(tmp_path: Path) -> Path:
    """A folder of samples that has one, which can't start without an option of its own."""
    folder = tmp_path / "made_up"
    (folder / "polite" / "greeting").mkdir(parents=True)
    (folder / "polite" / "greeting" / "service.py").write_text(_GREETING_SERVICE)
    return folder


def test_each_sample_has_a_row() -> None:
    assert without_a_row() == []


def test_each_port_is_given_once() -> None:
    ports = [sample.port_of(number) for sample in SAMPLES for number in sample.numbers]
    assert len(set(ports)) == len(ports)


def test_samples_that_need_signatures_have_a_database_of_their_own() -> None:
    signing = [sample for sample in SAMPLES if "{key_set}" in sample.options]
    assert signing
    assert all(sample.has_own_database for sample in signing)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_suite_knows_what_the_options_of_each_sample_stand_for(sample: Sample) -> None:
    with resources_of(sample) as values:
        assert not any("{" in option for option in filled(sample.options, values))


def test_masters_are_as_many_as_processes() -> None:
    assert all(len(sample.masters) == sample.processes for sample in SAMPLES if sample.masters)


def test_new_sample_with_an_option_of_its_own_runs_beside_the_others(
    server: CouchDB, made_up_folder: Path, tmp_path: Path
) -> None:
    samples = [sample_named("crud/basic").anywhere(), GREETING]
    with (
        installed(samples, server, "test") as commands,
        running(commands, tmp_path, {"PYTHONPATH": str(made_up_folder.parent)}) as services,
    ):
        assert [service.command.label for service in services] == [
            "crud/basic",
            "polite/greeting",
            "polite/greeting (2)",
        ]
        for service in services[1:]:
            answer = requests.get(f"{service.url}/greeting", timeout=10)
            assert answer.json() == {"greeting": "hello"}


def test_new_sample_without_a_row_is_named_and_not_run(made_up_folder: Path) -> None:
    assert without_a_row(SAMPLES, made_up_folder) == ["polite/greeting"]
    assert without_a_row([*SAMPLES, GREETING], made_up_folder) == []


def test_sample_that_does_not_start_is_named_with_its_reason(
    server: CouchDB, made_up_folder: Path, tmp_path: Path
) -> None:
    wrong = Sample(GREETING.name, 0, package="made_up")  # without the option
    with (
        installed([wrong], server, "test") as commands,
        pytest.raises(SuiteError, match=r"polite/greeting ended before it was ready: .*--greeting"),
        running(commands, tmp_path, {"PYTHONPATH": str(made_up_folder.parent)}),
    ):
        pass
