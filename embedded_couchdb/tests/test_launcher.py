import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.tests.couch import TIMEOUT_S, Couch, eventually

ROOT = Path(__file__).parent.parent.parent


def server_in(node: Path, folder: Path, port: int = 0) -> EmbeddedCouchDB:
    return EmbeddedCouchDB(node, folder, port=port, username="admin", password="secret")


def client_of(server: EmbeddedCouchDB) -> Couch:
    return Couch(server.url, "admin", "secret")


def is_alive(pid: int) -> bool:
    """Whether the process runs: a killed child that was not waited for yet doesn't."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def server(node: Path, tmp_path: Path) -> Iterator[EmbeddedCouchDB]:
    with server_in(node, tmp_path / "data") as running:
        yield running


def test_server_answers_once_it_is_started_and_is_gone_once_it_is_stopped(server: EmbeddedCouchDB) -> None:
    pid = server.pid
    assert client_of(server).get("/_up").status_code == 200
    server.stop()
    assert not is_alive(pid)
    with pytest.raises(requests.ConnectionError):
        client_of(server).get("/_up")
    server.stop()


def test_server_listens_on_the_loopback_interface_only(server: EmbeddedCouchDB) -> None:
    port = f":{server.port:04X}"
    addresses = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()]
    assert [address for address in addresses if address.endswith(port)] == [f"0100007F{port}"]
    assert not [line for line in Path("/proc/net/tcp6").read_text().splitlines() if f"{port} " in line]


def test_databases_outlive_the_server(server: EmbeddedCouchDB, node: Path) -> None:
    database = client_of(server).below("fruits")
    database.put()
    rev = database.save("a", color="red")
    server.stop()
    server.start()
    assert database.get("/a").json() == {"_id": "a", "_rev": rev, "color": "red"}


def test_killed_server_loses_no_acknowledged_write(server: EmbeddedCouchDB, node: Path) -> None:
    database = client_of(server).below("fruits")
    database.put()
    acknowledged: list[str] = []
    stopped = threading.Event()

    def write(worker: int) -> None:
        client = client_of(server).below("fruits")
        for number in range(100_000):
            name = f"{worker}-{number}"
            try:
                if client.put(f"/{name}", json={"n": number}).status_code == 201:
                    acknowledged.append(name)
            except requests.RequestException:
                stopped.set()
                return

    workers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    eventually(lambda: len(acknowledged) > 200)
    os.kill(server.pid, signal.SIGKILL)
    assert stopped.wait(TIMEOUT_S)
    for worker in workers:
        worker.join()
    server.stop()
    server.start()
    stored = {row["id"] for row in database.get("/_all_docs").json()["rows"]}
    assert set(acknowledged) <= stored
    assert database.get().json()["doc_count"] == len(stored)


def test_server_that_was_killed_does_not_run_until_it_is_started(server: EmbeddedCouchDB) -> None:
    url = server.url
    assert server.is_running
    server.kill()
    assert not server.is_running
    server.kill()  # nothing is left to kill
    server.start()
    assert server.is_running
    assert server.url == url


def test_created_database_survives_a_kill(server: EmbeddedCouchDB) -> None:
    names = [f"fruits{number}" for number in range(5)]
    for name in names:
        assert client_of(server).put(f"/{name}").status_code == 201
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    assert set(names) <= set(client_of(server).get("/_all_dbs").json())


def test_replication_goes_on_after_a_kill(server: EmbeddedCouchDB) -> None:
    couch = client_of(server)
    for name in ("left", "right"):
        couch.put(f"/{name}")
    auth = {"basic": {"username": "admin", "password": "secret"}}
    ends = {
        end: {"url": f"{server.url}/{name}", "auth": auth}
        for end, name in (("source", "left"), ("target", "right"))
    }
    couch.below("_replicator").save("both", continuous=True, **ends)
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    couch.below("left").save("a")
    eventually(lambda: couch.get("/right/a").status_code == 200)


PARENT = """
import pathlib, sys, time
from embedded_couchdb.launcher import EmbeddedCouchDB
node, folder = map(pathlib.Path, sys.argv[1:])
with EmbeddedCouchDB(node, folder, username="admin", password="secret") as server:
    print(server.pid, server.url, flush=True)
    time.sleep(600)
"""


def test_server_ends_with_the_process_that_started_it(node: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(node), str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:  # noqa: S603 - our own program
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[0])
        assert is_alive(pid)
        parent.kill()
    eventually(lambda: not is_alive(pid))


HANGING = "function (doc) { while (true) {} }"


def descendants(pid: int) -> set[int]:
    """The processes that a process has started, and those that they have started."""
    children: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        children |= {int(child) for child in (task / "children").read_text().split()}
    return children.union(*(descendants(child) for child in children))


def busy_s(pid: int) -> float:
    """How much processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hanging_processes(pid: int) -> set[int]:
    """The server and its processes once one of them runs and runs, or nothing."""
    children = descendants(pid)
    return children | {pid} if any(busy_s(child) > 1 for child in children) else set()


def test_server_leaves_nothing_behind_while_a_function_hangs(node: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(node), str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:  # noqa: S603 - our own program
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().decode().split()
        database = Couch(url, "admin", "secret").below("fruits")
        database.put()
        database.save("a")
        database.save_views("hanging", all=HANGING)
        with ThreadPoolExecutor(1) as pool:
            query = pool.submit(database.get, "/_design/hanging/_view/all")
            processes = eventually(lambda: hanging_processes(int(pid)))
            assert not query.done()
            parent.kill()
            assert isinstance(query.exception(), requests.ConnectionError)
    eventually(lambda: not any(is_alive(process) for process in processes))
    with server_in(node, tmp_path) as again:
        assert client_of(again).get("/fruits/a").status_code == 200


def test_stopped_server_leaves_nothing_behind_while_a_function_hangs(server: EmbeddedCouchDB) -> None:
    database = client_of(server).below("fruits")
    database.put()
    database.save("a")
    database.save_views("hanging", all=HANGING)
    with ThreadPoolExecutor(1) as pool:
        query = pool.submit(database.get, "/_design/hanging/_view/all")
        processes = eventually(lambda: hanging_processes(server.pid))
        assert not query.done()
        server.stop()
        query.exception()
    eventually(lambda: not any(is_alive(process) for process in processes))


def test_second_server_on_a_folder_is_refused_in_one_line(server: EmbeddedCouchDB, node: Path) -> None:
    second = server_in(node, server.folder)
    with pytest.raises(
        EmbeddedCouchDBError, match=r"did not start: The folder .* is in use by another server"
    ) as raised:
        second.start()
    assert "\n" not in str(raised.value)
    assert client_of(server).get("/_up").status_code == 200


def test_folder_is_free_again_after_a_kill(server: EmbeddedCouchDB, node: Path) -> None:
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    with server_in(node, server.folder) as second:
        assert client_of(second).get("/_up").status_code == 200


def test_administrator_needs_the_right_password(server: EmbeddedCouchDB) -> None:
    assert Couch(server.url, "admin", "wrong").get("/_all_dbs").status_code == 401
    assert Couch(server.url, "other", "secret").get("/_all_dbs").status_code == 401


def test_port_in_use_is_reported_in_one_line(node: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EmbeddedCouchDBError, match=rf"did not start: Port {port} is in use") as raised:
            server_in(node, tmp_path, port).start()
    assert "\n" not in str(raised.value)


def test_server_without_an_administrator_is_refused(node: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedCouchDBError, match="COUCHDB_USER and COUCHDB_PASSWORD must be set"):
        EmbeddedCouchDB(node, tmp_path, username="", password="").start()


def test_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded_couchdb.launcher.START_TIMEOUT_S", 0.2)
    silent = tmp_path / "node"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    with pytest.raises(EmbeddedCouchDBError, match="did not answer within"):
        server_in(silent, tmp_path).start()


def test_termination_lets_a_request_in_flight_finish(server: EmbeddedCouchDB) -> None:
    database = client_of(server).below("fruits")
    database.put()
    docs = [{"_id": str(number), "text": "x" * 1000} for number in range(2000)]
    answers: list[int] = []
    writer = threading.Thread(
        target=lambda: answers.append(database.post("/_bulk_docs", json={"docs": docs}).status_code)
    )
    began = database.get().json()["update_seq"]
    writer.start()
    eventually(lambda: client_of(server).get("/fruits").json()["update_seq"] != began)
    server.stop()
    writer.join()
    server.start()
    stored = database.get().json()["doc_count"]
    assert (answers, stored) == ([201], len(docs))


def test_foreground_ends_with_an_interrupt(node: Path, tmp_path: Path) -> None:
    environment = os.environ | {"COUCHDB_USER": "admin", "COUCHDB_PASSWORD": "secret"}
    command = [sys.executable, "-m", "embedded_couchdb", "--port", "0", "--folder", str(tmp_path)]
    options: dict[str, Any] = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as foreground:  # noqa: S603 - this package itself
        assert foreground.stdout is not None
        url = foreground.stdout.readline().split()[0]
        assert requests.get(f"{url}/_up", timeout=TIMEOUT_S).status_code == 200
        foreground.send_signal(signal.SIGINT)
        assert foreground.wait(TIMEOUT_S) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/_up", timeout=TIMEOUT_S)
