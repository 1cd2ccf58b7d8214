"""The whole way: a sample becomes a service, which is tested, run, replaced under load, and taken down."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

import aiohttp
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from new_service.tests.making import TIMEOUT_S
from suite.table import ROOT
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_etcd.testing import free_ports
from tor_async_service.tests import haproxy
from tor_async_service.tests.fleet import Fleet, Load
from tor_async_service.tests.otlp_receiver import OTLPReceiver
from tor_async_service.tests.processes import Service, running_command

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        haproxy.PROGRAM is None, reason="haproxy is not installed; on Debian, apt-get install haproxy"
    ),
]

OPTIONS = ("--model=Invoice", "--property=amount:int", "--property=customer_email:str:encrypted")
INVOICES = "/v1.0/invoices"
ROUTE = f"{INVOICES}/{{invoice_id}}"
EMAIL = "ada@example.org"


@pytest.fixture
def database(couchdb: CouchDBServer) -> Iterator[str]:
    """The name of a database that `install` makes; it and that of `run.sh` are deleted after the test."""
    name = f"invoices_{uuid.uuid4().hex}"
    yield name
    for made in (name, f"{name}_run"):  # the second is on a stand-in of its own, unless there is a CouchDB
        couchdb.request("DELETE", made)


def own_environment() -> dict[str, str]:
    """The environment of the test without what would let the project use this checkout's packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VENV")}


def output_of(*command: str | Path, folder: Path, **more: str) -> str:
    """What a command prints, which has to succeed."""
    completed = subprocess.run(  # noqa: S603 - the test's own
        command,
        cwd=folder,
        env=own_environment() | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert completed.returncode == 0, completed.stdout
    return completed.stdout


async def assert_runs_by_its_own_command(project: Path, database: str) -> None:
    """./run.sh runs the service, on the stand-in or on the CouchDB of the environment, until SIGTERM."""
    (port,) = free_ports(1)
    command = ["./run.sh", "--port", str(port), "--database", database]
    async with running_command(command, project, own_environment()) as service:
        try:
            url = await service.url()
            async with aiohttp.ClientSession(url) as client:
                body = {"amount": 1, "customer_email": EMAIL}
                async with client.post(INVOICES, json=body) as response:
                    assert response.status == 201
        finally:
            service.process.terminate()  # not kill: the service that it runs has to end, too
            status = await service.status()
        assert status == 0


def installed(project: Path, couchdb: CouchDBServer, database: str) -> None:
    """Makes the database by the command in the project's README."""
    readme = (project / "README.md").read_text()
    (command,) = re.findall(r"^\S+ -m tor_async_couchdb install (?:.*\\\n)*.*$", readme, re.M)
    command = command.replace("http://127.0.0.1:5984", couchdb.url)
    command = command.replace("--database invoices", f"--database {database}")
    credentials = {"COUCHDB_USER": couchdb.username, "COUCHDB_PASSWORD": couchdb.password}
    output_of("/usr/bin/env", "bash", "-c", command, folder=project, **credentials)


class Unit:
    """What the project's systemd unit starts, with its folders in one of the test's."""

    def __init__(self, project: Path, folder: Path, couchdb: CouchDBServer, database: str) -> None:
        self._project = project
        self._text = (project / "deploy" / "invoices.service").read_text()
        credentials, state = folder / "credentials", folder / "state"
        for made in (credentials, state):
            made.mkdir()
        (credentials / "couchdb_user").write_text(couchdb.username)
        (credentials / "couchdb_password").write_text(couchdb.password)
        output_of(
            *(project / ".venv/bin/python", "-m", "tor_async_couchdb", "secrets", "new"),
            state / "protection",
            folder=project,
        )
        inherited = own_environment().items()
        self.environment = {
            # The unit takes user and password from files, and refuses those of the tests' own CouchDB beside.
            **{name: value for name, value in inherited if not name.startswith("COUCHDB_")},
            **self._environment(credentials),
            "COUCHDB_DATABASE": f"{couchdb.url}/{database}",
            "CREDENTIALS_DIRECTORY": str(credentials),
            "STATE_DIRECTORY": str(state),
        }

    def _environment(self, credentials: Path) -> Mapping[str, str]:
        lines = re.findall(r"^Environment=(.*)$", self._text, re.M)
        pairs = [pair.partition("=") for line in lines for pair in line.split()]
        return {name: value.replace("%d", str(credentials)) for name, _, value in pairs}

    def command(self, port: int) -> list[str]:
        """What it runs, on another port."""
        (line,) = re.findall(r"^ExecStart=(.*)$", self._text, re.M)
        line = Template(line).substitute(self.environment).replace("/opt/invoices", str(self._project))
        return [*shlex.split(line), "--port", str(port)]


class LoadOfInvoices(Load):
    """Clients that create, change, read and list invoices."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        super().__init__(client)
        self.counts: dict[str, int] = {}

    async def work(self, number: int) -> None:
        for amount in itertools.count():
            body = {"amount": amount, "customer_email": EMAIL}
            path = await self._change("POST", INVOICES, body)
            for _ in range(3):
                await self._change("PUT", path, body)
                await self.request("GET", path)
            await self.request("GET", f"{INVOICES}?limit=100")

    async def _change(self, method: str, path: str, body: object) -> str:
        """The path of the invoice. If there is none, the load has failed and this one is made up."""
        response = await self.request(method, path, body)
        if response is None:
            return path if method == "PUT" else f"{INVOICES}/{'0' * 32}"
        invoice = await response.json()
        self.counts[invoice["invoice_id"]] = invoice["change_count"]
        return f"{INVOICES}/{invoice['invoice_id']}"


async def assert_metrics_are_seen(client: aiohttp.ClientSession) -> None:
    async with client.get("/_metrics", headers={"Accept": "text/plain"}) as response:
        families = text_string_to_metric_families(await response.text())
    counts = {
        sample.labels["http_route"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count"
        and sample.labels["http_request_method"] == "PUT"
    }
    assert counts[ROUTE] > 0


async def assert_trace_is_seen(receiver: OTLPReceiver) -> None:
    """A change of an invoice left a span, and so did its write, as a child of that."""
    await wait_until(lambda: any(True for _ in writes_of_changes(receiver.spans())), TIMEOUT_S)


def writes_of_changes(spans: list[Span]) -> Iterator[Span]:
    changes = {(span.trace_id, span.span_id) for span in spans if span.name == f"PUT {ROUTE}"}
    for span in spans:
        if (span.trace_id, span.parent_span_id) in changes and "/_bulk_docs" in span.name:
            yield span


def processes_of(folder: Path) -> list[str]:
    """The command lines of the processes that name the folder or have it as theirs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or str((process / "cwd").readlink()).startswith(str(folder)):
                found.append(command)
    return found


def lines_of(project: Path) -> int:
    """How many lines of Python the new service has."""
    return sum(len(path.read_text().splitlines()) for path in (project / "invoices").rglob("*.py"))


async def test_sample_becomes_a_service_that_is_operated_and_taken_down(
    couchdb: CouchDBServer, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started_s = time.monotonic()
    project = tmp_path / "invoices"
    command = (sys.executable, "-m", "new_service", "crud/exp_backoff", project, *OPTIONS)
    assert "All of its tests pass." in output_of(*command, folder=ROOT)
    tested_s = time.monotonic()
    await assert_runs_by_its_own_command(project, f"{database}_run")
    installed(project, couchdb, database)
    unit = Unit(project, tmp_path, couchdb, database)
    with OTLPReceiver() as receiver:
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        environment = unit.environment | more
        async with contextlib.AsyncExitStack() as stack:
            fleet = Fleet(
                lambda port: running_command(
                    [*unit.command(port), "--tracing", "--shutdown-delay", "60"], project, environment
                ),
                stack,
            )
            async with fleet.under(LoadOfInvoices, tmp_path) as load:
                await fleet.restart_one_by_one(load)
                url = await fleet.services["a"].url()
                async with aiohttp.ClientSession(url) as client:
                    await assert_metrics_are_seen(client)
                await assert_trace_is_seen(receiver)
            assert load.failures == []
            await asyncio.gather(*map(taken_down, fleet.services.values()))
    assert_has_all_changes(couchdb, database, load.counts)
    assert processes_of(tmp_path) == []
    with capsys.disabled():
        print(
            f"\nFrom crud/exp_backoff to a service whose tests pass: {tested_s - started_s:.0f} s; run, "
            f"restarted under a load of {sum(load.served.values())} requests and taken down: "
            f"{time.monotonic() - tested_s:.0f} s. It has {lines_of(project)} lines, none written by hand."
        )


async def taken_down(service: Service) -> None:
    """Ends a process that no load reaches any more: SIGINT knows no delay."""
    service.process.send_signal(signal.SIGINT)
    assert await service.status() == 0


def assert_has_all_changes(couchdb: CouchDBServer, database: str, counts: Mapping[str, int]) -> None:
    """The database has each change that was acknowledged, and nobody can read the addresses there."""
    text = couchdb.succeed("GET", f"{database}/_all_docs?include_docs=true").text
    assert EMAIL not in text
    documents = [row["doc"] for row in json.loads(text)["rows"]]
    stored = {
        document["invoice_id"]: document["change_count"] for document in documents if "amount" in document
    }
    # The last change of each client may have been made and not answered when the load ended.
    assert counts
    assert [key for key, count in counts.items() if stored.get(key, -1) < count] == []
