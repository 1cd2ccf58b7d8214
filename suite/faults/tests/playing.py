"""A stage for tests of faults: services that run, clients that change fruits, and metrics that move."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from suite.background import EventLoopThread
from suite.couchdb import running_couchdb
from suite.faults.link import Link
from suite.faults.stage import Stage, staged
from suite.faults.switchboard import Switchboard
from suite.faults.table import faults_on
from suite.installations import installed
from suite.services import ServiceCommand, running
from suite.table import sample_named
from tor_async_etcd.testing import EtcdServer

_TIMEOUT_S = 60.0
_REQUEST_TIMEOUT_S = 30.0  # /_metrics asks the database, which may refuse for a while
_POLL_INTERVAL_S = 0.1

Values = Mapping[tuple[str, str, str], float]
"""The values of a metric, by the service, the name and the labels of each sample."""


@dataclass(frozen=True)
class Play:
    """Services on a stage, and the switches of its faults. `said` has what a screen would show."""

    commands: Sequence[ServiceCommand]
    stage: Stage
    switchboard: Switchboard
    said: list[str]

    def url_of(self, label: str) -> str:
        """Where a service is."""
        return self.stage.supervisor.named(label).url

    def values(self, selector: str) -> Values:
        """The values of a metric on all services that answer; `selector` may name labels, as PromQL does."""
        name, _, labels = selector.partition("{")
        wanted = set(labels.rstrip("}").split(",")) - {""}
        return {
            (service.label, name, str(sorted(sample.labels.items()))): sample.value
            for service in self.stage.supervisor.services.values()
            for family in text_string_to_metric_families(_metrics(service.url))
            for sample in family.samples
            if sample.name == name
            and wanted <= {f'{label}="{value}"' for label, value in sample.labels.items()}
        }

    def total(self, selector: str) -> float:
        """The sum of these values."""
        return sum(self.values(selector).values())

    def is_well(self) -> bool:
        """Whether all services find themselves healthy, their database and etcd included."""
        return all(
            _succeeds(f"{service.url}/_health?quick=false")
            for service in self.stage.supervisor.services.values()
        )


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Returns once `is_so()`; TimeoutError after a minute."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"waited {_TIMEOUT_S:.0f} s in vain for {what}")
        time.sleep(_POLL_INTERVAL_S)


@contextlib.contextmanager
def playing(sample_names: Sequence[str], folder: Path) -> Iterator[Play]:
    """The samples on free ports, on the tests' CouchDB or a stand-in, which they reach through proxies."""
    samples = [sample_named(name).anywhere() for name in sample_names]
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        couchdb = stack.enter_context(running_couchdb(folder / "couchdb", 0))
        etcd = stack.enter_context(EtcdServer()) if any(each.needs("etcd") for each in samples) else None
        given = {} if etcd is None else {"etcd": etcd.url}
        commands = stack.enter_context(installed(samples, couchdb, "test", given))
        loop = stack.enter_context(EventLoopThread())
        link = stack.enter_context(Link(couchdb.urls, loop))
        linked = [replace(command, link_url=link.through(command.database_url)) for command in commands]
        services = stack.enter_context(running(linked, folder))
        stage = stack.enter_context(
            staged(services, folder, couchdb, said.append, loop=loop, link=link, etcd=etcd)
        )
        yield Play(linked, stage, stack.enter_context(Switchboard(faults_on(stage), said.append)), said)


def _metrics(service_url: str) -> str:
    try:
        headers = {"Accept": "text/plain"}
        return requests.get(f"{service_url}/_metrics", headers=headers, timeout=_REQUEST_TIMEOUT_S).text
    except requests.RequestException:  # killed or suspended
        return ""


def _succeeds(url: str) -> bool:
    try:
        return requests.get(url, timeout=_REQUEST_TIMEOUT_S).ok
    except requests.RequestException:
        return False
