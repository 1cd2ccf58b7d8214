import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.wire.login import BasicLogin, SessionLogin, TokenLogin
from tor_async_couchdb.wire.secret_file import SecretFile


@pytest.fixture
def masters(couchdb: CouchDBServer, credentials: UserPassword) -> Iterator[tuple[Master, Master]]:
    with couchdb.new_database() as one, couchdb.new_database() as other:
        pair = Master.from_url(one, credentials), Master.from_url(other, credentials)
        try:
            yield pair
        finally:
            disconnect(*pair)


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not become true in time"
        time.sleep(0.1)


def jobs(couchdb: CouchDBServer, masters: tuple[Master, Master]) -> list[dict[str, Any]]:
    rows = couchdb.succeed("GET", "_replicator/_all_docs", params={"include_docs": "true"}).json()["rows"]
    urls = {master.url for master in masters}
    docs = [row["doc"] for row in rows if not row["id"].startswith("_design/")]
    return [doc for doc in docs if doc["target"]["url"] in urls]


def put(couchdb: CouchDBServer, master: Master) -> str:
    document_id = uuid.uuid4().hex
    couchdb.succeed("PUT", f"{master.database}/{document_id}", json={})
    return document_id


def has(couchdb: CouchDBServer, master: Master, document_id: str) -> bool:
    rows = couchdb.succeed("GET", f"{master.database}/_all_docs").json()["rows"]
    return document_id in [row["id"] for row in rows]


def test_document_written_to_either_arrives_at_the_other(
    couchdb: CouchDBServer, masters: tuple[Master, Master]
) -> None:
    one, other = masters
    connect(one, other)
    for source, target in ((one, other), (other, one)):
        document_id = put(couchdb, source)
        until(lambda target=target, document_id=document_id: has(couchdb, target, document_id))  # type: ignore[misc]


def test_connecting_again_changes_nothing(couchdb: CouchDBServer, masters: tuple[Master, Master]) -> None:
    connect(*masters)
    before = jobs(couchdb, masters)
    connect(*masters)
    connect(*reversed(masters))
    assert len(before) == 2
    assert [doc["_rev"] for doc in jobs(couchdb, masters)] == [doc["_rev"] for doc in before]


def test_credentials_are_not_in_urls(couchdb: CouchDBServer, masters: tuple[Master, Master]) -> None:
    connect(*masters)
    for job in jobs(couchdb, masters):
        for end in (job["source"], job["target"]):
            assert couchdb.password not in end["url"]
            assert end["auth"]["basic"]["password"] == couchdb.password


def test_disconnecting_ends_both_and_may_be_done_again(
    couchdb: CouchDBServer, masters: tuple[Master, Master]
) -> None:
    connect(*masters)
    disconnect(*masters)
    disconnect(*masters)
    assert jobs(couchdb, masters) == []


def test_replication_that_failed_is_started_again(
    couchdb: CouchDBServer, masters: tuple[Master, Master]
) -> None:
    connect(*masters)
    (job, _) = jobs(couchdb, masters)
    failed = job | {"_replication_state": "failed"}
    couchdb.succeed("PUT", f"_replicator/{job['_id']}", json=failed)
    connect(*masters)
    until(lambda: all(job.get("_replication_state") != "failed" for job in jobs(couchdb, masters)))


def test_nothing_is_started_if_one_of_them_is_missing(
    couchdb: CouchDBServer, masters: tuple[Master, Master]
) -> None:
    absent = Master(masters[0].host, "tor_async_couchdb_test_absent", masters[0].credentials)
    with pytest.raises(InstallerError, match="tor_async_couchdb_test_absent: no such database"):
        connect(masters[0], absent)
    assert jobs(couchdb, masters) == []


def test_unreachable_server_is_named(masters: tuple[Master, Master]) -> None:
    with pytest.raises(InstallerError, match=r"http://127\.0\.0\.1:1: can't be reached"):
        connect(masters[0], Master("http://127.0.0.1:1", "absent"))


def test_master_on_several_nodes_is_the_one_on_the_first() -> None:
    master = Master.from_url("http://u:p@a:1/db,http://u:p@b:1/db")
    assert (master.url, master.credentials) == ("http://a:1/db", UserPassword("u", "p"))


def test_database_does_not_replicate_with_itself(masters: tuple[Master, Master]) -> None:
    with pytest.raises(InstallerError, match="itself"):
        connect(masters[0], masters[0])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h/db?x=1", "no query and no fragment"),
        ("http://h/db#x", "no query and no fragment"),
        ("http://a%3Ab:s3cr3t@h/db", "a username must not contain a colon"),
        ("http://a:s3cr3t%00@h/db", "a password must not contain a control character"),
        ("http://h/d\nb", "printable characters"),
        ("http://h/d\udcffb", "printable characters"),
    ],
)
def test_url_of_which_a_part_would_be_lost_is_refused(url: str, words: str) -> None:
    with pytest.raises(InstallerError, match=words) as caught:
        Master.from_url(url)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a+b", "a%2Bb"), ("a/b", "a%2Fb"), ("a/b+c$(d)_e-f", "a%2Fb%2Bc$(d)_e-f"), ("ü", "%C3%BC")],
)
def test_name_of_a_database_is_quoted_for_replication(name: str, quoted: str) -> None:
    master = Master("http://h:5984", name, UserPassword("u", "p"))
    assert master.as_endpoint()["url"] == f"http://h:5984/{quoted}"
    assert Master.from_url(master.url, master.credentials) == master


def test_databases_whose_names_have_a_plus_sign_replicate(
    couchdb: CouchDBServer, credentials: UserPassword
) -> None:
    names = [f"tor_async_couchdb_test_{uuid.uuid4().hex}+{end}" for end in ("east", "west")]
    one, other = (Master(couchdb.url, name, credentials) for name in names)
    for name in names:
        couchdb.succeed("PUT", quote(name, safe=""))
    try:
        connect(one, other)
        document_id = uuid.uuid4().hex
        couchdb.succeed("PUT", f"{quote(one.database, safe='')}/{document_id}", json={})
        until(lambda: couchdb.request("GET", f"{quote(other.database, safe='')}/{document_id}").ok)
    finally:
        disconnect(one, other)
        for name in names:
            couchdb.succeed("DELETE", quote(name, safe=""))


def test_url_is_parsed_and_its_credentials_come_first() -> None:
    default = UserPassword("default", "d")
    assert Master.from_url("http://h:5984/a%2Fb", default) == Master("http://h:5984", "a/b", default)
    assert Master.from_url("https://u:p%40w@h/db/", default) == Master(
        "https://h", "db", UserPassword("u", "p@w")
    )


def test_document_of_a_replication_has_the_secrets_of_files(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("p\n")
    for login in (BasicLogin("u", SecretFile(password)), SessionLogin("u", SecretFile(password))):
        auth = Master("http://h", "db", login).as_endpoint()["auth"]
        assert auth == {"basic": {"username": "u", "password": "p"}}


def test_token_is_refused_for_replication_because_it_would_expire() -> None:
    with pytest.raises(
        InstallerError, match="http://h/db: replication needs a user and a password"
    ) as caught:
        Master("http://h", "db", TokenLogin("s3cr3t")).as_endpoint()
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "database"),
    [
        ("http://proxy/couch/fruits", "http://proxy/couch", "fruits"),
        ("https://proxy:1/a/b/fruits/", "https://proxy:1/a/b", "fruits"),
        ("http://u:p@proxy/couch/a%2Fb", "http://proxy/couch", "a/b"),
    ],
)
def test_url_may_have_a_path_before_the_database(url: str, host: str, database: str) -> None:
    master = Master.from_url(url)
    assert (master.host, master.database) == (host, database)
    assert master.url == url.rstrip("/").replace("u:p@", "")


def test_jobs_that_another_run_starts_and_ends_meanwhile_are_no_error(
    masters: tuple[Master, Master], couchdb: CouchDBServer
) -> None:
    for act, count in ((connect, 2), (disconnect, 0)):
        start = threading.Barrier(3)

        def run(number: int, act: Any = act, start: threading.Barrier = start) -> None:
            start.wait()
            act(*masters)

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(run, range(3)))
        assert len(jobs(couchdb, masters)) == count


@pytest.mark.parametrize("url", ["ftp://h/db", "http://h", "http://h/", "http:///db", "db"])
def test_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(InstallerError, match="a database's URL is"):
        Master.from_url(url)
