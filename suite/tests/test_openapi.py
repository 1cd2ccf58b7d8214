"""Each sample answers as its OpenAPI document says; schemathesis makes the requests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from openapi_spec_validator import validate

from suite.couchdb import CouchDB
from suite.installations import installed
from suite.services import running
from suite.table import SAMPLES, Sample, sample_named
from tor_async_couchdb.testing.couchdb import CouchDBServer

# What fits the schema may still be refused: an owner may have been erased (410), a condition may fail, a
# key may be used already. Only the service can make the start of a page, and in the pattern of an email
# Python's \s means more characters than that of ECMA-262. A stream of events has no end.
_CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "401", "403", "404", "409", "410", "412", "422", "428", "5xx"]

[[operations]]
include-path = "/v1.0/fruits"
include-method = "GET"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-path = "/v1.0/fruits/by_email"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-path = "/v1.0/changes"
enabled = false

[phases.stateful]
checks.positive_data_acceptance.enabled = false
"""


def drive(sample: Sample, couchdb: CouchDBServer, folder: Path, *options: str) -> None:
    """Makes requests of all kinds to the sample; fails if one is answered with 5xx or against the schema."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(_CONFIGURATION)
    server = CouchDB(couchdb.url, couchdb.username, couchdb.password)
    with installed([sample.anywhere()], server, "test") as commands, running(commands, folder) as services:
        url = f"{services[0].url}/_openapi"
        validate(requests.get(url, timeout=30).json())
        command = [str(Path(sys.executable).parent / "st"), f"--config-file={configuration}", "run", url]
        completed = subprocess.run(  # noqa: S603 - a tool of the tests, no shell
            [*command, "--no-color", "--seed=1", *options],
            cwd=folder,
            env=os.environ | {"COLUMNS": "100"},
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_basic_answers_as_it_says(couchdb: CouchDBServer, tmp_path: Path) -> None:
    drive(sample_named("crud/basic"), couchdb, tmp_path, "--phases=fuzzing", "--max-examples=3")


@pytest.mark.long
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_answers_as_it_says(sample: Sample, couchdb: CouchDBServer, tmp_path: Path) -> None:
    drive(sample, couchdb, tmp_path, "--phases=coverage,fuzzing,stateful", "--max-examples=20")
