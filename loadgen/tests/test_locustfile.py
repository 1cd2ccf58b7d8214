"""The locustfile as locust runs it: in a process of its own, since locust patches the one that it is in."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from loadgen.check import check_file
from loadgen.history import read_history
from loadgen.linearizability import Fault, Reads, Verdict
from loadgen.tests.fruit_service import Service, running
from loadgen.tests.locust_process import DEADLINE_S, ROOT, command, started, wait_for


def locust(*arguments: str) -> subprocess.CompletedProcess[str]:
    return headless("--only-summary", *arguments)


def headless(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the arguments are the tests' own
        command("--headless", *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run(service: Service, folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the summary of a short load."""
    summary = folder / "summary.json"
    completed = locust(
        "--host", f"{service.url}/", "-u", "5", "-r", "50", "-t", "1s", "--summary", str(summary), *arguments
    )
    assert summary.exists(), completed.stderr
    return completed.returncode, json.loads(summary.read_text())


def test_honest_service_passes_and_conflicts_are_told_apart(tmp_path: Path) -> None:
    tsv = tmp_path / "requests.tsv"
    with running(Service(conflict_each=10, resolve_each=3, refuse_each=17, unknown_each=19)) as service:
        code, summary = run(service, tmp_path, "--tsv", str(tsv), "--fruits", "3", "--percent-put", "60")
        assert service.change_counts == {}
    assert (code, summary["problems"], summary["lost"]) == (0, [], 0)
    assert (summary["fruits"], summary["percent_put"]) == (3, 60)
    assert summary["given_up"] == service.updates // 10
    assert summary["conflicts_met"] == 2 * summary["given_up"] + summary["resolved"]
    assert summary["resolved"] > 0
    assert summary["unknown"] > 0
    assert summary["acknowledged"] + summary["refused"] + summary["unknown"] == service.updates
    rows = [line.split("\t") for line in tsv.read_text().splitlines()]
    assert rows[0] == ["time", "type", "ok", "client", "ms"]
    assert len(rows) - 1 == summary["requests"]
    assert sum(row[2] == "1" for row in rows) == summary["succeeded"]
    assert {row[3] for row in rows[1:]} == {"1", "2", "3", "4", "5"}


def test_users_ask_no_more_often_than_their_pace(tmp_path: Path) -> None:
    with running(Service()) as service:
        code, summary = run(service, tmp_path, "--pace", "0.01")
    assert code == 0
    assert 0 < summary["requests"] <= 5  # each of the five users once, on a slow machine perhaps not yet


def test_lost_updates_fail_the_load(tmp_path: Path) -> None:
    with running(Service(lose_each=20)) as service:
        code, summary = run(service, tmp_path)
    assert code == 1
    assert summary["lost"] > 0


def test_doubled_updates_fail_the_load(tmp_path: Path) -> None:
    with running(Service(double_each=20)) as service:
        code, summary = run(service, tmp_path)
    assert code == 1
    assert "applied twice" in summary["problems"][0]


def verdict_on(service: Service, folder: Path, *arguments: str) -> Verdict:
    """The verdict on a short load on one fruit."""
    history = folder / "history.jsonl"
    run(service, folder, "--history", str(history), "--fruits", "1", *arguments)
    return check_file(history, Reads.LINEARIZABLE)


def test_history_of_an_honest_service_is_linearizable(tmp_path: Path) -> None:
    with running(Service(conflict_each=10, unknown_each=19, forget_answer_each=23)) as service:
        verdict = verdict_on(service, tmp_path)
    assert verdict.is_linearizable, verdict.violations[0]
    assert verdict.unknown > 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert verdict.unknown == summary["unknown"]
    assert verdict.operations == summary["requests"] + 3, "the creation, the read back and the deletion too"
    operations = [operation for _, operation in read_history(tmp_path / "history.jsonl")]
    assert [each.kind for each in operations[:1] + operations[-2:]] == ["create", "read", "delete"]
    assert {each.epoch for each in operations if each.change_count is not None} == {"2026-11-26"}


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        (Service(lose_each=20), Fault.LOST_UPDATE),
        (Service(double_each=20), Fault.UNEXPLAINED_CHANGE),
        (Service(stale_each=2), Fault.STALE_READ),
    ],
    ids=["lost", "doubled", "stale"],
)
def test_history_of_a_service_with_a_fault_is_not(tmp_path: Path, service: Service, fault: Fault) -> None:
    with running(service):
        (violation,) = verdict_on(service, tmp_path).violations
    assert violation.fault is fault


def test_several_hosts_share_the_users(tmp_path: Path) -> None:
    with (
        running(Service()) as service,
        running(Service(refuse_reads=1_000_000, change_counts=service.change_counts)) as other,
    ):
        code, summary = run(service, tmp_path, "--host", f"{other.url}/", "--percent-put", "0")
    assert (code, summary["problems"]) == (0, [])
    assert summary["host"] == f"{service.url},{other.url}"
    assert 0 < summary["succeeded"] < summary["requests"]


class FourServices:
    """One load on services that differ."""

    def __init__(self, folder: Path) -> None:
        self.refusing = Service(conflict_each=5)
        self.losing = Service(lose_each=5)
        self.conditional = Service(has_etags=True)
        self.idempotent = Service(wants_keys=True, forget_answer_each=10)
        file = folder / "summary.json"
        with (
            running(self.refusing),
            running(self.losing),
            running(self.conditional),
            running(self.idempotent),
        ):
            urls = {name: service.url for name, service in vars(self).items()}
            services = ",".join(f"{name}={url}" for name, url in urls.items())
            only = [word for name in urls for word in ("--only", name)]
            self.completed = locust(
                *("--services", f"{services},unused=http://127.0.0.1:1", *only, "--summary", str(file)),
                *("-u", "8", "-r", "50", "-t", "1s", "--fruits", "1"),
            )
        assert file.exists(), self.completed.stderr
        self.summaries: dict[str, Any] = json.loads(file.read_text())["services"]


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> FourServices:
    return FourServices(tmp_path_factory.mktemp("four"))


def test_services_get_a_summary_each(four: FourServices) -> None:
    assert four.completed.returncode == 1
    assert f"refusing {four.refusing.url}: 1 fruits, 80 % PUT\n" in four.completed.stdout
    assert list(four.summaries) == ["refusing", "losing", "conditional", "idempotent"]
    refusing, losing = four.summaries["refusing"], four.summaries["losing"]
    assert (refusing["problems"], refusing["lost"]) == ([], 0)
    assert refusing["given_up"] == four.refusing.updates // 5
    assert losing["lost"] > 0
    assert losing["acknowledged"] == four.losing.updates


def test_update_of_a_service_with_etags_follows_a_read(four: FourServices) -> None:
    summary = four.summaries["conditional"]
    assert four.conditional.change_counts == {}, "DELETE was asked with If-Match"
    assert summary["problems"] == []
    assert summary["acknowledged"] > 0
    assert summary["given_up"] == summary["refused"], "nothing was refused for the lack of If-Match"
    assert summary["acknowledged"] + summary["given_up"] == four.conditional.updates


def test_update_without_an_answer_is_repeated_with_its_key(four: FourServices) -> None:
    summary = four.summaries["idempotent"]
    assert four.idempotent.change_counts == {}
    assert (summary["problems"], summary["lost"]) == ([], 0)
    applied = len(four.idempotent.change_counts_by_key)
    assert summary["in_database"] == applied
    assert summary["acknowledged"] + summary["unknown"] == applied
    assert four.idempotent.updates > applied, "some were sent twice"
    assert summary["unknown"] <= 2, "only of those that were under way at the end"


def test_update_whose_connection_broke_is_unknown_and_not_sent_again(tmp_path: Path) -> None:
    with running(Service(forget_answer_each=10)) as service:
        code, summary = run(service, tmp_path, "--percent-put", "100")
    assert (code, summary["problems"]) == (0, [])
    assert summary["unknown"] == service.updates // 10
    assert summary["requests"] == service.updates


def test_updates_in_flight_when_the_load_stops_are_of_unknown_outcome(tmp_path: Path) -> None:
    with running(Service(hang_each=50)) as service:
        code, summary = run(service, tmp_path, "--stop-timeout", "1")
    assert (code, summary["problems"]) == (0, [])
    assert 0 < summary["unknown"] <= 5, "each of the five users hangs once, on a slow machine perhaps not yet"
    assert summary["acknowledged"] + summary["unknown"] == service.updates


@pytest.mark.parametrize("options", [(), ("--only-summary",)])
def test_load_that_cannot_start_ends_with_one_line(options: tuple[str, ...]) -> None:
    with running(Service(create_at_most=0)) as service:
        completed = headless("--host", service.url, "-t", "1s", *options)
    assert completed.returncode == 1
    assert "The load can't start: can't create a fruit" in completed.stderr.splitlines()[-1]
    assert "Traceback" not in completed.stderr
    assert "Aggregated" not in completed.stdout + completed.stderr, "locust printed an empty table"


def test_headless_load_without_a_host_ends_with_one_line() -> None:
    completed = headless()
    assert completed.returncode == 1
    assert "The load can't start: it needs --host" in completed.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--percent-put", "120"), "argument --percent-put: '120' is not a percentage"),
        (("--fruits", "0"), "argument --fruits: '0' is not a number of fruits"),
        (("--history", "nowhere/x"), "argument --history: 'nowhere/x': there is no folder 'nowhere'"),
        (("--tsv", "nowhere/x.tsv"), "argument --tsv: 'nowhere/x.tsv': there is no folder 'nowhere'"),
        (("--services", "http://a"), "argument --services: 'http://a' is not NAME=URL"),
        (("--services", "a=http://a"), "Give --services or --host, not both"),
        (("--master",), "loadgen keeps its books in one process"),
    ],
)
def test_bad_option_is_refused_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    completed = locust("--host", "http://127.0.0.1:1", *arguments)
    assert completed.returncode == 2
    assert message in completed.stderr.splitlines()[-1]


def test_service_that_is_not_there_is_refused_in_one_line() -> None:
    completed = locust("--only", "b", "--services", "a=http://a")
    assert completed.returncode == 2
    assert completed.stderr.splitlines()[-1] == "there is no service 'b': choose from a"


def test_interrupted_load_still_closes_its_books() -> None:
    with (
        running(Service(lose_each=20)) as service,
        started("--headless", "--only-summary", "--host", service.url, "-u", "2") as process,
    ):
        wait_for_updates(service)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "acknowledged updates were lost" in output


def wait_for_updates(service: Service) -> None:
    enough = service.updates + 50
    wait_for("an update", lambda: service.updates > enough)
