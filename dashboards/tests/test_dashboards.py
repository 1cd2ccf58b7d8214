"""Every metric and every label that a dashboard or an alert names is one that services show."""

import dataclasses
import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from loadgen.metrics import LoadMetrics
from loadgen.tests.test_metrics import Figures
from suite.couchdb import CouchDB
from suite.installations import installed
from suite.services import running
from suite.table import SAMPLES, sample_named
from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_service.metrics import ServiceMetrics

_FOLDER = Path(__file__).parents[1]
_DASHBOARDS = sorted(_FOLDER.glob("*.json"))
_ALERTS = yaml.safe_load((_FOLDER / "alerts.yml").read_text())
_RULES = [rule for group in _ALERTS["groups"] for rule in group["rules"]]

# Prometheus adds these.
_ADDED_METRICS = {"up"}
_ADDED_LABELS = {"job", "instance"}
_TIMEOUT_S = 30.0

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_NAME = re.compile(r"(?<![\w$.])[a-zA-Z_:][\w:]*\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "offset", "bool"}


class Used(NamedTuple):
    """What an expression names: its metrics, and labels by the metric that has to have them.

    The labels under "" belong to any of the metrics.
    """

    metrics: set[str]
    labels: Mapping[str, set[str]]


def used_by(expression: str) -> Used:
    """What a PromQL expression names."""
    labels: dict[str, set[str]] = defaultdict(set)
    text = _TEXT.sub('""', expression)
    for group in _GROUPING.findall(text):
        labels[""] |= {name.strip() for name in group.split(",") if name.strip()}
    text = re.sub(r"\[[^\]]*\]|\boffset\s+\w+", " ", _GROUPING.sub(" ", text))
    for metric, matchers in _SELECTOR.findall(text):
        labels[metric] |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    text = re.sub(r"\{[^}]*\}", " ", text)
    return Used(set(_NAME.findall(text)) - _WORDS, labels)


def test_names_in_an_expression_are_found() -> None:
    used = used_by(
        'histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{job=~"$job",x!="{y=}"}[$__rate_interval])))'
        " / on (instance) b_total offset 10m > 0.5 unless time() - c{} > 1"
    )
    assert used.metrics == {"a_bucket", "b_total", "c"}
    assert {name: labels for name, labels in used.labels.items() if labels} == {
        "": {"job", "le", "instance"},
        "a_bucket": {"job", "x"},
    }


def _panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in _DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            if panel["type"] != "row":
                yield path.name, panel


_EXPRESSIONS = {
    **{
        f"{name}: {panel['title']}, {target['refId']}": target["expr"]
        for name, panel in _panels()
        for target in panel["targets"]
    },
    **{f"alerts.yml: {rule['alert']}": rule["expr"] for rule in _RULES},
}

Shown = Mapping[str, set[str]]


@pytest.fixture(scope="module")
def shown(couchdb: CouchDBServer, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The labels of all metrics that services show, by the names of the metrics."""
    labels: dict[str, set[str]] = defaultdict(set)
    for text in (
        _of_a_running_sample(couchdb, tmp_path_factory.mktemp("logs")),
        _of_rare_events(),
        _of_loadgen(),
    ):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels[sample.name] |= set(sample.labels)
    return labels


def _of_a_running_sample(couchdb: CouchDBServer, logs: Path) -> str:
    """What the sample shows that has the most metrics: it reconciles, by an elected leader."""
    sample = sample_named("crud/multi_master").anywhere()
    sample = dataclasses.replace(sample, options=(*sample.options, "--etcd", "{etcd}"))
    server = CouchDB(couchdb.url, couchdb.username, couchdb.password)
    with (
        installed([sample], server, "dashboards") as commands,
        running(commands[:1], logs) as (service,),
    ):
        requests.post(
            f"{service.url}/v1.0/fruits", json={"color": "red"}, timeout=_TIMEOUT_S
        ).raise_for_status()
        return requests.get(
            f"{service.url}/_metrics", headers={"Accept": "text/plain"}, timeout=_TIMEOUT_S
        ).text


def _of_rare_events() -> str:
    """What a service shows after events that would take a cluster, or damaged documents."""
    metrics, error = ServiceMetrics(), InvalidDocumentError("damaged")
    metrics.write_sealed("read", 0.1)
    metrics.document_left_out(error)
    metrics.conflict_failed(error)
    return generate_latest(metrics.registry).decode()


def _of_loadgen() -> str:
    books = Figures(acknowledged=1, unknown=0, lost=0)
    return LoadMetrics(lambda: {"fruits": books}).exposition("")[0].decode()


def unknown_names(expression: str, shown: Shown) -> set[str]:
    """What an expression names that no service shows: metrics, or else labels."""
    used = used_by(expression)
    known = used.metrics - _ADDED_METRICS
    if known - set(shown):
        return known - set(shown)
    of_any = _ADDED_LABELS.union(*(shown[metric] for metric in known))
    return {
        label
        for metric, labels in used.labels.items()
        for label in labels - (shown[metric] | _ADDED_LABELS if metric else of_any)
    }


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("rate(a_total[5m])", {"a_total"}),
        ('a{error="x",cause="y"}', {"cause"}),
        ("sum by (route) (rate(a[5m]))", {"route"}),
        ("sum by (job, error) (a) / on (instance) a", set()),
    ],
)
def test_name_that_no_service_shows_is_noticed(expression: str, unknown: set[str]) -> None:
    assert unknown_names(expression, {"a": {"error"}}) == unknown


@pytest.mark.parametrize("expression", _EXPRESSIONS.values(), ids=_EXPRESSIONS.keys())
def test_metrics_and_labels_of_an_expression_are_shown_by_services(expression: str, shown: Shown) -> None:
    assert unknown_names(expression, shown) == set()


def test_legends_and_summaries_name_labels_that_their_expressions_keep() -> None:
    texts = {
        (target["legendFormat"], target["expr"]) for _, panel in _panels() for target in panel["targets"]
    } | {(rule["annotations"]["summary"].replace("$labels.", ""), rule["expr"]) for rule in _RULES}
    for text, expression in texts:
        named = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", text))
        grouped = [
            set(re.split(r"[\s,]+", group.strip())) for group in re.findall(r"\bby\s*\(([^)]*)\)", expression)
        ]
        if grouped:
            assert named <= grouped[0], expression


@pytest.mark.parametrize("path", _DASHBOARDS, ids=lambda path: path.name)
def test_dashboard_is_complete(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    panels = dashboard["panels"]
    assert [panel["id"] for panel in panels] == [*range(1, len(panels) + 1)]
    assert all(panel["title"] for panel in panels)
    assert all(panel["description"] for panel in panels if panel["type"] != "row")
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "job"}


def test_dashboards_are_different_ones_to_grafana() -> None:
    ids = [json.loads(path.read_text())["uid"] for path in _DASHBOARDS]
    assert len(set(ids)) == len(ids) == 3


def test_prometheus_scrapes_every_sample() -> None:
    configuration = yaml.safe_load((_FOLDER / "prometheus.yml").read_text())
    targets = {
        target
        for job in configuration["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    ports = {sample.port_of(number) for sample in SAMPLES for number in sample.numbers}
    assert {f"127.0.0.1:{port}" for port in ports} <= targets


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = [
        (check["alertname"], bool(check["exp_alerts"]))
        for test in yaml.safe_load((_FOLDER / "alerts_test.yml").read_text())["tests"]
        for check in test["alert_rule_test"]
    ]
    names = {rule["alert"] for rule in _RULES}
    assert {name for name, fires in cases if fires} == {name for name, fires in cases if not fires} == names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Prometheus, is not installed")
@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_accepts_the_configuration_and_the_alerts_do_what_their_tests_say(
    arguments: tuple[str, ...],
) -> None:
    command = [str(shutil.which("promtool")), *arguments]
    done = subprocess.run(command, cwd=_FOLDER, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - the test's own
    assert done.returncode == 0, done.stdout + done.stderr
