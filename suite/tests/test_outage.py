"""What the services make of a database that is killed under load, and comes back."""

import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node, install
from suite.couchdb import CouchDB
from suite.services import Sample, find_samples, running_services

WRITERS = 8
LOAD_S = 1.0
RECOVERY_TIMEOUT_S = 15.0

# One that sends each change by itself, and one that sends them together.
SAMPLES = [sample for sample in find_samples() if sample.name in ("crud/exp_backoff", "crud/group_commit")]


@dataclasses.dataclass
class Writers:
    """Threads that change one fruit until they are told to stop, and what they were answered."""

    url: str
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    answers: list[tuple[float, int, str]] = dataclasses.field(default_factory=list)
    change_counts: list[int] = dataclasses.field(default_factory=list)

    def write(self) -> None:
        with requests.Session() as session:
            while not self.stop.is_set():
                answer = session.put(self.url, json={"color": "blue"}, timeout=60)
                self.answers.append((time.monotonic(), answer.status_code, answer.json().get("type", "")))
                if answer.status_code == 200:
                    self.change_counts.append(answer.json()["change_count"])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.write) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def wait_for_success_after(self, moment_s: float) -> float:
        deadline_s = time.monotonic() + RECOVERY_TIMEOUT_S
        while time.monotonic() < deadline_s:
            for answered_s, status, _ in self.answers:
                if answered_s > moment_s and status == 200:
                    return answered_s - moment_s
            time.sleep(0.02)
        pytest.fail(f"no change succeeded within {RECOVERY_TIMEOUT_S} s of the database's return")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_killed_database_costs_no_acknowledged_change(sample: Sample, tmp_path: Path) -> None:
    node = find_node()
    install(node)
    with EmbeddedCouchDB(node, tmp_path / "couchdb", username="admin", password="secret") as server:
        couchdb = CouchDB(server.url, "admin", "secret")
        anywhere = dataclasses.replace(sample, port=0)
        with (
            couchdb.installed_database("test") as database_url,
            running_services([anywhere], database_url, couchdb.environment, tmp_path) as (service,),
        ):
            fruits = f"{service.url}/v1.0/fruits"
            fruit = requests.post(fruits, json={"color": "red"}, timeout=10).json()
            writers = Writers(f"{fruits}/{fruit['fruit_id']}")
            with writers.running():
                time.sleep(LOAD_S)
                os.kill(server.pid, signal.SIGKILL)
                time.sleep(LOAD_S)
                server.stop()
                server.start()
                recovered_after_s = writers.wait_for_success_after(time.monotonic())
            stored = requests.get(writers.url, timeout=10).json()["change_count"]
    acknowledged = writers.change_counts
    unknown = sum(type_.endswith("outcome-unknown") for _, _, type_ in writers.answers)
    print(
        f"{sample.name}: {len(acknowledged)} acknowledged, {unknown} unknown, {stored} stored, "
        f"recovered after {recovered_after_s:.2f} s"
    )
    assert {status for _, status, _ in writers.answers} - {200, 409} == {503}
    assert len(set(acknowledged)) == len(acknowledged)
    assert max(acknowledged) <= stored
    assert len(acknowledged) <= stored <= len(acknowledged) + unknown
