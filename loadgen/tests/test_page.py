"""Locust's page with what loadgen adds to it, asked over HTTP as the page's own script and others do."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from loadgen.report import BOOKS, WELL
from loadgen.tests.fruit_service import Service, running
from loadgen.tests.locust_process import DEADLINE_S, started, wait_for
from tor_async_etcd.testing import free_ports

WATCH_URL = "http://127.0.0.1:8088"
NAMES = ["crud/basic", "crud/retry", "bad"]


class Page:
    """Locust's page, and the services that it offers."""

    def __init__(self, url: str, services: list[Service], process: "subprocess.Popen[str]") -> None:
        self.url = url
        self.basic, self.retry, self.bad = services
        self.process = process

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"{self.url}/{path}", headers=headers, timeout=DEADLINE_S)

    def is_up(self) -> bool:
        try:
            return self.get("books").ok
        except requests.ConnectionError:
            return False

    def books(self) -> Any:
        return self.get("books").json()

    def swarm(self, **form: str | list[str]) -> Any:
        """Locust's answer to the form of a new load."""
        fields = {"user_count": "2", "spawn_rate": "2", **form}
        return requests.post(f"{self.url}/swarm", data=fields, timeout=DEADLINE_S).json()

    def stop(self) -> None:
        requests.post(f"{self.url}/stop", timeout=DEADLINE_S).raise_for_status()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    services = [Service(conflict_each=5), Service(resolve_each=3), Service(lose_each=5)]
    history = tmp_path_factory.mktemp("page") / "history.jsonl"
    port = free_ports(1)[0]
    with running(services[0]), running(services[1]), running(services[2]):
        urls = ",".join(f"{name}={each.url}" for name, each in zip(NAMES, services, strict=True))
        options = ("--services", urls, "--only", "crud/retry", "--history", str(history))
        web = ("--web-host", "127.0.0.1", "--web-port", str(port), "--watch-url", WATCH_URL)
        with started(*options, *web) as process:
            made = Page(f"http://127.0.0.1:{port}", services, process)
            wait_for("the page", made.is_up)
            yield made


def wait_for_updates(service: Service) -> None:
    enough = service.updates + 50
    wait_for("an update", lambda: service.updates > enough)


def test_form_has_the_options_and_a_choice_of_services(page: Page) -> None:
    shown = page.get("").text
    assert '"choices": ["crud/basic", "crud/retry", "bad"], "default_value": ["crud/retry"]' in shown
    assert '"fruits": {"choices": null, "default_value": 5' in shown
    assert '"percent_put": {"choices": null, "default_value": 80' in shown
    assert f'<a href="{WATCH_URL}">' in shown
    assert '{"key": "conflicts", "title": "Conflicts"}' in shown
    for option in ("history", "watch_url", "service_urls"):
        assert f'"{option}": {{"choices"' not in shown, "a page must not set it"


def test_load_takes_the_form_and_its_books_are_shown_while_it_runs_and_after(page: Page) -> None:
    answer = page.swarm(services=["crud/basic", "crud/retry"], fruits="2", percent_put="100")
    assert answer["success"], answer
    wait_for_updates(page.basic)
    wait_for_updates(page.retry)
    assert [len(each.change_counts) for each in (page.basic, page.retry, page.bad)] == [2, 2, 0]
    books = page.books()
    assert (books["is_running"], books["verdict"], list(books["services"])) == (True, None, NAMES[:2])
    for service in books["services"].values():
        assert set(service) == set(BOOKS)
        assert service["lost"] == 0
        assert service["in_database"] >= service["acknowledged"] > 0
    assert books["services"]["crud/basic"]["given_up"] > 0
    assert books["services"]["crud/retry"]["resolved"] > 0
    report = page.get("stats/requests").json()
    assert report["state"] == "running"
    (table,) = report["extended_stats"]
    assert [(row["name"], row["verdict"], row["lost"]) for row in table["data"]] == [
        ("crud/basic", "running", 0),
        ("crud/retry", "running", 0),
    ]
    page.stop()
    books = page.books()
    assert not books["is_running"]
    assert books["verdict"].splitlines()[0] == WELL
    assert books["verdict"].splitlines()[1].startswith("linearizable: yes, ")
    for service in books["services"].values():
        assert (service["lost"], service["in_database"]) == (0, service["acknowledged"])
    assert page.basic.change_counts == page.retry.change_counts == {}
    assert 'loadgen_updates_lost{service="crud/retry"} 0.0' in page.get("metrics").text.splitlines()
    report = page.get("stats/requests").json()
    assert (report["state"], report["extended_stats"][0]["data"][0]["verdict"]) == ("stopped", "none lost")


def test_lost_updates_are_counted_while_the_load_runs(page: Page) -> None:
    assert page.swarm(services="bad", fruits="1", percent_put="90")["success"]
    wait_for("a lost update", lambda: page.books()["services"]["bad"]["lost"] > 0)
    page.stop()
    verdict = page.books()["verdict"]
    assert "acknowledged updates were lost" in verdict
    assert "linearizable: no" in verdict


def test_running_load_takes_another_share_of_updates_but_no_other_services(page: Page) -> None:
    assert page.swarm(services="crud/retry", fruits="1", percent_put="0")["success"]
    wait_for("a read", lambda: page.books()["services"]["crud/retry"]["requests"] > 0)
    refusal = page.swarm(services="crud/basic", fruits="1", percent_put="0")
    assert refusal["message"].startswith("The services and the number of fruits can't change")
    assert page.swarm(services="crud/retry", fruits="1", percent_put="100")["success"]
    wait_for_updates(page.retry)
    page.stop()


def test_forms_that_come_together_start_one_load(page: Page) -> None:
    with ThreadPoolExecutor(4) as senders:
        forms = [senders.submit(page.swarm, services="crud/retry", fruits="1") for _ in range(4)]
        assert all(form.result()["success"] for form in forms)
    wait_for_updates(page.retry)
    assert len(page.retry.change_counts) == 1
    page.stop()
    assert page.books()["verdict"].startswith(WELL)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"services": "crud/nothing"}, "there is no service 'crud/nothing': choose from crud/basic,"),
        ({}, "choose one service or more"),
        ({"services": "bad", "percent_put": "120"}, "'120' is not a percentage"),
        ({"services": "bad", "history": "x.jsonl"}, "there is no history: the fields are fruits, host,"),
        ({"services": "bad", "fruits": "many"}, "'many' is not a number of fruits"),
        ({"services": "bad", "user_count": "10001"}, "user_count can't be more than 10000"),
        ({"services": "bad", "user_count": "9" * 400}, "user_count can't be more than 10000"),
        ({"services": "bad", "spawn_rate": "nan"}, "spawn_rate can't be more than 10000"),
        ({"services": "bad", "spawn_rate": "1e999"}, "spawn_rate can't be more than 10000"),
        ({"services": "bad", "spawn_rate": "many"}, "Invalid spawn_rate"),
        ({"services": "bad", "fruits": "9" * 5000}, "is not a number of fruits"),
        ({"services": "bad", "percent_put": "9" * 5000}, "is not a percentage"),
    ],
    ids=range(12),
)
def test_wrong_form_is_refused_at_once(page: Page, form: dict[str, str], message: str) -> None:
    answer = page.swarm(**form)
    assert not answer["success"]
    assert message in answer["message"]
    assert not page.books()["is_running"]


def test_form_that_locust_itself_refuses_leaves_no_fruits(page: Page) -> None:
    assert not page.swarm(services="bad", user_count="-1")["success"]
    assert page.bad.change_counts == {}
    assert not page.books()["is_running"]


def test_service_that_does_not_create_fruits_is_named_at_once(page: Page) -> None:
    page.bad.create_at_most = 0
    answer = page.swarm(services=["crud/basic", "bad"])
    page.bad.create_at_most = 100
    assert answer["message"].startswith(f"The load can't start: can't create a fruit: POST {page.bad.url}")
    assert page.basic.change_counts == {}


@pytest.mark.parametrize("path", ["books", "metrics", "stats/requests", "nothing"])
def test_head_is_get_without_the_body(page: Page, path: str) -> None:
    answer = requests.head(f"{page.url}/{path}", timeout=DEADLINE_S)
    assert (answer.status_code, answer.content) == (page.get(path).status_code, b"")


def test_other_sites_in_the_same_browser_are_refused(page: Page) -> None:
    for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Host": "evil.test"}):
        stopped = requests.post(f"{page.url}/stop", headers=headers, timeout=DEADLINE_S)
        assert stopped.status_code == 403
        assert page.get("books", **headers).status_code == 403
    assert page.get("books", Origin=page.url).ok


def test_page_with_a_host_asks_for_one(page: Page) -> None:
    port = free_ports(1)[0]
    with started("--web-host", "127.0.0.1", "--web-port", str(port)) as process:
        other = Page(f"http://127.0.0.1:{port}", [page.basic, page.retry, page.bad], process)
        wait_for("the page", other.is_up)
        assert '"services": {"choices"' not in other.get("").text
        assert "it needs --host" in other.swarm()["message"]
        assert "'nowhere' is not a URL" in other.swarm(host="nowhere")["message"]
        assert other.swarm(host=page.basic.url)["success"]
        wait_for_updates(page.basic)
        assert list(other.books()["services"]) == [page.basic.url]
        process.terminate()  # Python's KeyboardInterrupt can end another greenlet than locust's own
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert WELL in output
