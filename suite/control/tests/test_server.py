"""Who may ask the control API, and what it answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from suite.background import EventLoopThread
from suite.control.load import LoadControl, LoadError
from suite.control.server import Controls, ControlServer, control_server
from suite.couchdb import CouchDB
from suite.database_keeper import DatabaseKeeper
from suite.faults.fault import Fault, Grade
from suite.faults.stage import Stage
from suite.faults.switchboard import Switchboard
from suite.processes import Process
from suite.services import Service, ServiceCommand
from suite.supervision import Supervisor
from suite.table import sample_named

_TIMEOUT_S = 10.0
_LARGE = pytest.param(10**400, id="10^400")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """What stands for a service."""
    log = tmp_path_factory.mktemp("control") / "sleeper.log"
    with Process("sleeper", ["sleep", "600"], log, {}) as process:
        yield process


@pytest.fixture(scope="module")
def server(process: Process) -> Iterator[ControlServer]:
    """The API of a run with one service and one fault."""
    command = ServiceCommand(sample_named("crud/multi_master"), "http://127.0.0.1:1/fruits", {}, 2)
    service = Service(command, "http://127.0.0.1:2", process)
    couchdb = CouchDB("http://127.0.0.1:1", "admin", "secret")

    def say(_: str) -> None:
        pass

    fault = Fault("slow", "All takes longer.", "duration", Grade(5, 1, 9, "ms"), lambda _: None, lambda: None)
    with (
        EventLoopThread() as loop,
        Supervisor([service], Path(), say) as supervisor,
        Switchboard([fault], say) as switchboard,
    ):
        stage = Stage(supervisor, couchdb, DatabaseKeeper(couchdb, say))
        load = LoadControl("http://127.0.0.1:3", supervisor)
        with control_server(Controls(stage, switchboard, load), loop) as server:
            yield server


def ask(
    server: ControlServer, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
) -> requests.Response:
    """The answer to a request with the token."""
    own = {"Authorization": f"Bearer {server.token}"} | (headers or {})
    return requests.request(method, f"{server.url}{path}", headers=own, timeout=_TIMEOUT_S, **options)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic YWRtaW46c2VjcmV0"])
@pytest.mark.parametrize("path", ["/faults", "/database", "/nothing"])
def test_request_without_the_token_is_refused(server: ControlServer, path: str, authorization: str) -> None:
    answer = ask(server, "GET", path, {"Authorization": authorization})
    assert answer.status_code == 401
    assert "token" in answer.json()["error"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_request_by_another_name_is_refused(server: ControlServer, host: str) -> None:
    answer = ask(server, "GET", "/faults", {"Host": host})
    assert answer.status_code == 403
    assert "loopback" in answer.json()["error"]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/x-ndjson", ""]
)
def test_change_that_is_not_json_is_refused(server: ControlServer, media_type: str) -> None:
    answer = ask(server, "PUT", "/faults/slow", {"Content-Type": media_type}, data="{}")
    assert answer.status_code == 415
    assert not ask(server, "GET", "/faults/slow").json()["is_on"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("PUT", "/faults/flood", {}, 404, "no fault 'flood'"),
        ("DELETE", "/faults/flood", None, 404, "no fault 'flood'"),
        ("PUT", "/faults/slow", {"grade": 10}, 400, "from 1 to 9 ms"),
        ("PUT", "/faults/slow", {"grade": "much"}, 400, "a number"),
        ("PUT", "/faults/slow", {"grade": True}, 400, "a number"),
        ("PUT", "/faults/slow", [], 400, "JSON object"),
        ("POST", "/services/nobody/kill", {}, 404, "no service 'nobody'"),
        ("POST", "/services/nobody/sing", {}, 404, "no such path"),
        ("GET", "/masters", None, 404, "no masters"),
        ("GET", "/nothing", None, 404, "no such path"),
        ("PUT", "/load", {"users": 0}, 400, "from 1 to 1000"),
        ("PUT", "/load", {"percent_put": 101}, 400, "from 0 to 100"),
        ("PUT", "/load", {"samples": []}, 400, "at least one sample"),
        ("PUT", "/load", {"samples": ["nobody"]}, 404, "no service 'nobody'"),
        ("PUT", "/load", {"cars": 1}, 400, "no cars"),
        ("DELETE", "/load", None, 409, "locust does not answer"),
        ("POST", "/faults", {}, 405, "Method Not Allowed"),
    ],
)
def test_wrong_request_is_refused_with_a_sentence(
    server: ControlServer, method: str, path: str, body: object, status: int, words: str
) -> None:
    options: dict[str, Any] = {} if body is None else {"json": body}
    answer = ask(server, method, path, **options)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"grade": NaN}',
        b'{"grade": 1e999}',
        b'{"grade": \xff}',
        *(pytest.param(part * 6_000, id=part.decode()) for part in (b"[", b'{"a":', b'{"grade":[')),
        pytest.param(b'{"grade": %s}' % (b"9" * 5000), id="a number of 5,000 digits"),
    ],
)
@pytest.mark.parametrize("path", ["/faults/slow", "/load"])
def test_body_that_cannot_be_read_is_refused(server: ControlServer, path: str, body: bytes) -> None:
    answer = ask(server, "PUT", path, {"Content-Type": "application/json"}, data=body)
    assert (answer.status_code, "JSON object" in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    "grade", [_LARGE, pytest.param(-(10**400), id="-10^400"), 1e308, 9.001, 0, [], {}, "NaN"]
)
def test_grade_out_of_range_is_refused(server: ControlServer, grade: object) -> None:
    answer = ask(server, "PUT", "/faults/slow", json={"grade": grade})
    assert (answer.status_code, "grade" in answer.json()["error"]) == (400, True), answer.text
    assert not ask(server, "GET", "/faults/slow").json()["is_on"]


@pytest.mark.parametrize("name", ["users", "fruits", "percent_put"])
@pytest.mark.parametrize("value", [_LARGE, 1e308, 1.5, "1", None, True])
def test_number_that_a_load_cannot_have_is_refused(server: ControlServer, name: str, value: object) -> None:
    answer = ask(server, "PUT", "/load", json={name: value})
    assert (answer.status_code, "a whole number" in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/services",
        "/database",
        "/masters",
        "/faults",
        "/faults/slow",
        "/faults/flood",
        "/load",
        "/books",
        "/no",
    ],
)
def test_head_is_get_without_the_body(server: ControlServer, path: str) -> None:
    expected = ask(server, "GET", path)
    answer = ask(server, "HEAD", path)
    assert (answer.status_code, answer.content) == (expected.status_code, b"")
    for name in ("Content-Type", "Content-Length"):
        assert answer.headers[name] == expected.headers[name]
    assert ask(server, "HEAD", "/services/x/kill").status_code == 405


def test_fault_is_switched_on_and_off(server: ControlServer) -> None:
    assert ask(server, "PUT", "/faults/slow", json={"grade": 7}).json()["current_grade"] == 7
    (fault,) = ask(server, "GET", "/faults").json()
    assert fault["is_on"]
    assert fault["grade"] == {"default": 5, "min": 1, "max": 9, "unit": "ms"}
    assert ask(server, "DELETE", "/faults/slow").json()["current_grade"] is None
    ask(server, "PUT", "/faults/slow", json={"grade": None})
    assert ask(server, "GET", "/faults/slow").json()["current_grade"] == 5
    (fault,) = ask(server, "DELETE", "/faults").json()
    assert not fault["is_on"]


def test_database_and_load_are_described(server: ControlServer) -> None:
    database = ask(server, "GET", "/database").json()
    assert database == {
        "url": "http://127.0.0.1:1",
        "username": "admin",
        "password": "secret",
        "is_standin": False,
        "is_running": True,
    }
    assert ask(server, "GET", "/load").json()["is_running"] is False
    assert ask(server, "GET", "/books").json() == {}


def test_only_samples_that_locust_knows_get_load(process: Process) -> None:
    def service(name: str) -> Service:
        command = ServiceCommand(sample_named(name), "http://127.0.0.1:1/fruits", {})
        return Service(command, "http://127.0.0.1:2", process)

    supervisor = Supervisor([service("crud/retry"), service("health")], Path(), lambda _: None)
    load = LoadControl("http://127.0.0.1:3", supervisor)
    assert load.state()["choices"] == ["crud/retry"]
    with pytest.raises(LoadError, match=r"health gets no load; choose from crud/retry\."):
        load.start({"samples": ["crud/retry", "health"]})


def test_service_is_described_and_killed(server: ControlServer, process: Process) -> None:
    (service,) = ask(server, "GET", "/services").json()
    assert service["label"] == "crud/multi_master (2)"
    assert (service["number"], service["pid"], service["is_running"]) == (2, process.pid, True)
    assert service["database_url"] == "http://127.0.0.1:1/fruits"
    answer = ask(server, "POST", "/services/crud%2Fmulti_master%20(2)/kill", json={})
    assert answer.json()["is_running"] is False
    assert answer.json()["ended_at"] is not None
    assert not process.is_running
