"""Each CRUD sample under load while its connections to CouchDB meet a fault again and again."""

import contextlib
import dataclasses
from pathlib import Path

import pytest
from aiohttp import web

from suite.couchdb import CouchDB
from suite.experiments.faults import FAULTS, faulty_link, one_in
from suite.experiments.writers import TOLD_NO, Writers
from suite.installations import installed
from suite.services import running
from suite.table import SAMPLES, Sample
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import Request

CRUD = [sample for sample in SAMPLES if sample.name.startswith("crud/")]
QUICK = ("crud/exp_backoff", "connections break after a write was applied")
ONE_IN = 5
SUCCESSES = 40


@pytest.mark.parametrize(
    ("sample", "title"),
    [
        pytest.param(
            sample,
            title,
            id=f"{sample.name}-{title.replace(' ', '_')}",
            marks=[] if (sample.name, title) == QUICK else [pytest.mark.long],
        )
        for sample in CRUD
        for title in FAULTS
    ],
)
def test_fault_costs_no_acknowledged_change_and_applies_none_twice(
    sample: Sample, title: str, couchdb: CouchDBServer, tmp_path: Path
) -> None:
    fault, path_part = FAULTS[title]
    server = CouchDB(couchdb.url, couchdb.username, couchdb.password)
    met = 0

    async def counted(request: Request) -> web.StreamResponse:
        nonlocal met
        met += 1
        return await fault(request)

    with contextlib.ExitStack() as stack:
        commands = stack.enter_context(installed([sample.anywhere()], server, "test"))
        links = [
            stack.enter_context(faulty_link(command.database_url, one_in(ONE_IN, counted), path_part))
            for command in commands
        ]
        through_links = [
            dataclasses.replace(command, database_url=link)
            for command, link in zip(commands, links, strict=True)
        ]
        services = stack.enter_context(running(through_links, tmp_path))
        writers = Writers(services[0].url)
        with writers.running():
            writers.wait_for_successes(SUCCESSES)
        assert met > 0
        assert writers.statuses <= {200, *TOLD_NO, 503}
        writers.check()
