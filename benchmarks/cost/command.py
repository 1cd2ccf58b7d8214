"""Calls to CouchDB for each change, with more and more writers, with and without coalescing."""

import argparse
import collections
from collections.abc import Sequence
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.measuring import plots, report, settings
from benchmarks.measuring.fruits import Fruits, check_changes
from benchmarks.measuring.machine import describe
from benchmarks.measuring.rounds import alternated, running_sample
from benchmarks.measuring.wrk import Load, Target, put_load, wrk_version
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.table import ANY_PORT, Sample, sample_named

WRITERS = (8, 32, 128, 512)
_FRUIT_COUNTS = (500, 5)
_CALLS = "db_client_operation_duration_seconds_count"
_OF_DOCUMENTS = (
    "GET /{db}/{docid}",
    "POST /{db}/_bulk_get",
    "POST /{db}/_bulk_docs",
    "POST /{db}/_design/{ddoc}/_view/{view}",
)
_REQUEST_TIMEOUT_S = 30.0
_WARM_UP = Load(connections=64, seconds=1, percent_put=0)


class _Uncoalesced(Sample):
    @property
    def module(self) -> str:
        return "benchmarks.cost.uncoalesced_exp_backoff"


SERVICES = {
    "exp_backoff": sample_named("crud/exp_backoff"),
    "exp_backoff, not coalesced": _Uncoalesced("crud/exp_backoff", ANY_PORT),
    "group_commit": sample_named("crud/group_commit"),
}

_Costs = dict[tuple[int, str, int], list[float]]  # fruits, service, writers: calls a change in each round


def calls_in(metrics: str) -> float:
    """How often CouchDB was asked for documents, says a service's `/_metrics` to Prometheus."""
    samples = (sample for family in text_string_to_metric_families(metrics) for sample in family.samples)
    return sum(
        sample.value
        for sample in samples
        if sample.name == _CALLS and sample.labels["db_operation_name"] in _OF_DOCUMENTS
    )


def measure(couchdb: CouchDB, rounds: int, seconds: int, run_folder: Path) -> _Costs:
    """Every service with every number of writers in every round, each on a fresh database.

    Raises:
        SuiteError: a service can't be started, or has lost an update.
    """
    costs: _Costs = collections.defaultdict(list)
    for i in range(rounds):
        print(f"Round {i + 1} of {rounds}", flush=True)
        for fruit_count in _FRUIT_COUNTS:
            for name in alternated(list(SERVICES), i):
                for writers in WRITERS:
                    load = Load(writers, seconds, percent_put=100)
                    cost = _cost(couchdb, SERVICES[name], fruit_count, load, run_folder)
                    costs[fruit_count, name, writers].append(cost)
                    print(f"  {fruit_count} fruits, {writers} writers, {name}: {cost:.3f}", flush=True)
    return costs


def _cost(couchdb: CouchDB, sample: Sample, fruit_count: int, load: Load, logs: Path) -> float:
    with (
        couchdb.installed_database("benchmark") as database_url,
        running_sample(sample, couchdb, database_url, logs) as url,
    ):
        fruits = Fruits(couchdb, database_url, fruit_count)
        put_load(Target(url), fruits.ids, _WARM_UP)  # after which it knows where the fruits are
        calls_before = _calls(url)
        outcome = put_load(Target(url), fruits.ids, load)
        changes = fruits.settled_change_count()
        calls = _calls(url) - calls_before
        check_changes(sample.name, changes, at_least=outcome.successes, at_most=outcome.puts_sent)
        if changes == 0:
            raise SuiteError(f"{sample.name} made no change in {load.seconds} s: see its log in {logs}.")
        return calls / changes


def _calls(url: str) -> float:
    answer = requests.get(f"{url}/_metrics", headers={"Accept": "text/plain"}, timeout=_REQUEST_TIMEOUT_S)
    return calls_in(answer.text)


def write(folder: Path, costs: _Costs, rounds: int, seconds: int, surroundings: Sequence[str]) -> Path:
    """Writes the table and the plot; where the table is."""
    panels = {
        f"{fruit_count} fruits": {
            name: [(writers, report.median(costs[fruit_count, name, writers])) for writers in WRITERS]
            for name in SERVICES
        }
        for fruit_count in _FRUIT_COUNTS
    }
    plots.draw_lines(
        folder / "cost.svg",
        panels,
        x="writers",
        y="calls to CouchDB per change",
        x_scale="log",
        y_scale="log",
    )
    rows = [
        [title, name, *(report.median_with_range(costs[int(title.split()[0]), name, w], 3) for w in WRITERS)]
        for title, lines in panels.items()
        for name in lines
    ]
    sections = [
        "  \n".join(surroundings),
        f"Medians of {rounds} rounds of {seconds} s each, in alternating order, on fresh databases each. "
        "Calls are those for documents (GET, _bulk_get, _bulk_docs, the view), as the service counts them; "
        "changes are by how much the change counts in the database grew. Without coalescing a change is one "
        "read and one write, and another read for each race that it loses: that another request of the same "
        "process was faster it learns without a write.",
        "![calls per change](cost.svg)",
        report.table(("", "service", *(f"{writers} writers" for writers in WRITERS)), rows),
    ]
    return report.write(folder, "cost", "Calls to CouchDB per change", sections)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    settings.add_options(parser, seconds=3)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured, or a change was lost.
    """
    plots.check_installed()
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(couchdb, f"wrk {wrk_version()}")
        costs = measure(couchdb, options.rounds, options.seconds, settings.RUN_FOLDER)
    print(f"Written to {write(options.results, costs, options.rounds, options.seconds, surroundings)}")
    return 0
