import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.errors import ResponseError, TransportError
from tor_async_couchdb.installer import installation
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.installation import install
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.protection import signing

RED = {"_id": "red", "type": "fruit_v1.0", "color": "red"}


class Installer:
    """Installs a database from two folders that a test can write into."""

    def __init__(self, folder: Path, database: AdminDatabase, credentials: UserPassword) -> None:
        self.database = database
        self.credentials = credentials
        self.design_docs = folder / "design_docs"
        self.seed_docs = folder / "seed_docs"
        self.design_docs.mkdir()
        self.seed_docs.mkdir()
        self.put_view("by_color", "function(doc) { emit(doc.color, null); }")
        self.put_seed("red", RED)

    def put_view(self, name: str, map_function: str) -> None:
        body = json.dumps({"views": {name: {"map": map_function}}})
        (self.design_docs / f"{name}.json").write_text(body)

    def put_seed(self, name: str, body: dict[str, Any]) -> None:
        (self.seed_docs / f"{name}.json").write_text(json.dumps(body))

    def install(self, **options: Any) -> None:
        install(
            self.database.server.host,
            self.database.name,
            design_docs_folder=self.design_docs,
            seed_docs_folder=self.seed_docs,
            **{"credentials": self.credentials} | options,
        )


@pytest.fixture
def installer(tmp_path: Path, database: AdminDatabase, credentials: UserPassword) -> Installer:
    return Installer(tmp_path, database, credentials)


def _revisions(database: AdminDatabase) -> dict[str, str]:
    rows = database.server.ask("GET", database.name, "_all_docs", query={"include_docs": "true"})["rows"]
    return {row["id"]: row["doc"]["_rev"] for row in rows}


def _databases(database: AdminDatabase) -> list[str]:
    return [name for name in database.server.ask("GET", "_all_dbs") if name.startswith(database.name)]


def test_database_is_created_with_its_documents(database: AdminDatabase, installer: Installer) -> None:
    installer.install()
    assert set(_revisions(database)) == {"_design/by_color", "red"}


def test_second_run_changes_nothing_and_duplicates_nothing(
    database: AdminDatabase, installer: Installer
) -> None:
    installer.install()
    before = _revisions(database)
    installer.install()
    assert _revisions(database) == before


def test_second_run_is_quiet_and_only_reads(
    database: AdminDatabase,
    installer: Installer,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installer.install()
    requests_sent: list[str] = []
    ask = AdminClient.ask

    def record(client: AdminClient, method: str, *path: str, **options: Any) -> Any:
        requests_sent.append(" ".join((method, *path[1:])))
        return ask(client, method, *path, **options)

    monkeypatch.setattr(AdminClient, "ask", record)
    installer.install()
    assert requests_sent == ["GET", "GET", "POST _all_docs", "POST _all_docs"]
    assert capfd.readouterr() == ("", "")


def test_seed_document_that_was_changed_is_left_alone(database: AdminDatabase, installer: Installer) -> None:
    installer.install()
    database.write([database.fetch(["red"])["red"] | {"color": "blue"}])
    installer.put_seed("green", RED | {"_id": "green"})
    installer.install()
    stored = database.fetch(["red", "green"])
    assert stored["red"]["color"] == "blue"
    assert set(stored) == {"red", "green"}


def test_seed_documents_are_signed(database: AdminDatabase, installer: Installer, tmp_path: Path) -> None:
    signing.new_key_set(tmp_path / "set.json")
    signer = signing.TamperingSigner.from_file(tmp_path / "set.json")
    installer.install(seed_doc_signer=signer)
    assert signing.verify(signer, database.fetch(["red"])["red"])


def test_delete_makes_a_fresh_database(database: AdminDatabase, installer: Installer) -> None:
    database.create()
    database.write([{"_id": "old"}])
    installer.install(delete=True)
    assert set(_revisions(database)) == {"_design/by_color", "red"}
    assert _databases(database) == [database.name]


def test_delete_without_create_only_deletes(database: AdminDatabase, installer: Installer) -> None:
    database.create()
    installer.install(delete=True, create=False)
    assert not database.exists()


def test_deleting_a_missing_database_is_no_error(database: AdminDatabase, installer: Installer) -> None:
    installer.install(delete=True, create=False)
    installer.install(delete=True)
    assert database.exists()


def test_without_create_nothing_is_installed(database: AdminDatabase, installer: Installer) -> None:
    installer.install(create=False)
    assert not database.exists()


def test_without_folders_the_database_is_empty(database: AdminDatabase, credentials: UserPassword) -> None:
    install(database.server.host, database.name, credentials=credentials)
    assert _revisions(database) == {}


def test_failed_installation_says_that_the_database_was_created_and_stays(
    database: AdminDatabase, installer: Installer
) -> None:
    installer.put_view("bad", "function(doc) { emit(")
    with pytest.raises(
        InstallerError, match=r"bad\.json: .* was created and stays, not complete\)$"
    ) as caught:
        installer.install()
    assert "\n" not in str(caught.value)
    assert _revisions(database) == {}
    with pytest.raises(InstallerError, match=r"bad\.json: ") as caught:
        installer.install()
    assert "created" not in str(caught.value)
    installer.put_view("bad", "function(doc) { emit(doc.color, 1); }")
    installer.install()
    assert set(_revisions(database)) == {"_design/bad", "_design/by_color", "red"}


@pytest.mark.parametrize("delete", [False, True])
def test_what_others_wrote_survives_a_failed_installation(
    database: AdminDatabase, installer: Installer, monkeypatch: pytest.MonkeyPatch, delete: bool
) -> None:
    def fail(database: AdminDatabase, *arguments: Any) -> None:
        if "rehearsal" not in database.name:
            database.write([{"_id": "precious"}])
            raise TransportError("no answer within 30 s")

    monkeypatch.setattr(installation, "install_design_documents", fail)
    if delete:
        database.create()
    with pytest.raises(InstallerError, match=rf"^{database.server.host}: no answer .* stays"):
        installer.install(delete=delete)
    assert set(_revisions(database)) == {"precious"}
    assert _databases(database) == [database.name]


def test_interrupted_installation_deletes_nothing(
    database: AdminDatabase, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(database: AdminDatabase, *arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(installation, "install_design_documents", interrupt)
    with pytest.raises(KeyboardInterrupt):
        installer.install()
    assert database.exists()


@pytest.mark.parametrize(("count", "delete"), [(2, False), (3, False), (5, False), (3, True)])
def test_installations_at_the_same_time_all_succeed(
    database: AdminDatabase, installer: Installer, count: int, delete: bool
) -> None:
    installer.put_view("by_size", "function(doc) { emit(doc.size, null); }")
    installer.put_seed("green", RED | {"_id": "green"})
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        installer.install(delete=delete)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))
    revisions = _revisions(database)
    assert set(revisions) == {"_design/by_color", "_design/by_size", "red", "green"}
    assert all(rev.startswith("1-") for rev in revisions.values())
    assert _databases(database) == [database.name]


def test_database_that_another_creates_meanwhile_is_taken_as_it_is(
    database: AdminDatabase, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.create()
    database.write([{"_id": "precious"}])
    monkeypatch.setattr(AdminDatabase, "exists", lambda database: False)
    installer.install()
    assert set(_revisions(database)) == {"_design/by_color", "red", "precious"}


@pytest.mark.parametrize("method", ["create", "fetch", "write", "states", "set_revs_limit"])
@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "Database does not exist."), (500, "No DB shards could be opened."), (500, "{badmatch,einval}")],
)
def test_installation_begins_again_while_another_deletes_the_database(
    database: AdminDatabase,
    installer: Installer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    status: int,
    reason: str,
) -> None:
    call, errors = getattr(AdminDatabase, method), [reason] * 2

    def fail_twice(database: AdminDatabase, *arguments: object, **options: object) -> object:
        if errors:
            raise ResponseError.for_status(status, "error", errors.pop(), method="POST", path=database.name)
        return call(database, *arguments, **options)

    monkeypatch.setattr(AdminDatabase, method, fail_twice)
    installer.install(revs_limit=500)
    assert set(_revisions(database)) == {"_design/by_color", "red"}
    assert not errors


def test_database_that_another_deletes_first_is_installed_all_the_same(
    database: AdminDatabase, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.create()
    is_partitioned = AdminDatabase.is_partitioned

    def be_late(database: AdminDatabase) -> bool:
        database.delete()
        return is_partitioned(database)

    monkeypatch.setattr(AdminDatabase, "is_partitioned", be_late)
    installer.install(delete=True)
    assert set(_revisions(database)) == {"_design/by_color", "red"}


def test_seed_document_that_another_puts_meanwhile_is_left_alone(
    database: AdminDatabase, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.create()
    states = AdminDatabase.states

    def be_late(database: AdminDatabase, document_ids: list[str]) -> dict[str, str]:
        found = states(database, document_ids)
        monkeypatch.setattr(AdminDatabase, "states", states)
        database.write([RED | {"color": "blue"}])
        return found

    monkeypatch.setattr(AdminDatabase, "states", be_late)
    installer.put_seed("green", RED | {"_id": "green"})
    installer.install()
    stored = database.fetch(["red", "green"])
    assert (stored["red"]["color"], stored["green"]["color"]) == ("blue", "red")


def test_seed_document_that_users_deleted_does_not_come_back(
    database: AdminDatabase, installer: Installer
) -> None:
    installer.put_seed("green", RED | {"_id": "green"})
    installer.install()
    database.write([database.fetch(["red"])["red"] | {"_deleted": True}])
    installer.put_seed("blue", RED | {"_id": "blue"})
    installer.install()
    assert set(database.fetch(["red", "green", "blue"])) == {"green", "blue"}


@pytest.mark.skipif("COUCHDB_URL" not in os.environ, reason="the stand-in has no partitioned databases")
def test_partitioned_database_is_deleted_and_made_again_as_one(
    database: AdminDatabase, installer: Installer
) -> None:
    installer.put_seed("red", RED | {"_id": "fruits:red"})
    database.create(is_partitioned=True)
    database.write([{"_id": "old:one"}])
    installer.install()
    assert set(_revisions(database)) == {"_design/by_color", "fruits:red", "old:one"}
    installer.install(delete=True)
    assert set(_revisions(database)) == {"_design/by_color", "fruits:red"}
    assert database.is_partitioned()


def test_bad_map_function_keeps_the_database_that_was_to_be_deleted(
    database: AdminDatabase, installer: Installer
) -> None:
    database.create()
    database.write([{"_id": "precious"}])
    installer.put_view("bad", "function(doc) { emit(")
    with pytest.raises(InstallerError, match=r"bad\.json: "):
        installer.install(delete=True)
    assert _databases(database) == [database.name]
    assert set(_revisions(database)) == {"precious"}


def test_bad_file_is_found_before_anything_is_written(database: AdminDatabase, installer: Installer) -> None:
    (installer.seed_docs / "bad.json").write_text("{")
    with pytest.raises(InstallerError, match=r"bad\.json: not JSON"):
        installer.install()
    assert not database.exists()


def test_seed_document_that_couchdb_refuses_is_named(database: AdminDatabase, installer: Installer) -> None:
    (installer.design_docs / "valid.json").write_text(
        json.dumps({"validate_doc_update": "function(doc) { throw({forbidden: 'no fruit'}); }"})
    )
    # An administrator is not exempt: CouchDB runs validation functions for everybody.
    with pytest.raises(InstallerError, match=r"red\.json: .*forbidden: no fruit"):
        installer.install()
    assert set(_revisions(database)) == {"_design/by_color", "_design/valid"}


def test_error_about_refused_credentials_names_the_host_and_hides_them(
    database: AdminDatabase, installer: Installer
) -> None:
    with pytest.raises(InstallerError) as caught:
        installer.install(credentials=UserPassword("dave", "s3cret"))
    assert str(caught.value).startswith(f"{database.server.host}: CouchDB answered GET /")
    assert "401 unauthorized" in str(caught.value)
    assert "dave" not in repr(caught.value)
    assert "s3cret" not in repr(caught.value)
    assert not database.exists()


def test_missing_credentials_are_asked_for(database: AdminDatabase, installer: Installer) -> None:
    with pytest.raises(InstallerError, match="use --creds, or COUCHDB_USER and COUCHDB_PASSWORD"):
        installer.install(credentials=None)


def test_unreachable_host_is_named() -> None:
    with pytest.raises(InstallerError, match=r"^http://127\.0\.0\.1:1: can't be reached"):
        install("http://127.0.0.1:1", "fruits")


def test_bad_database_name_is_refused_before_any_request() -> None:
    with pytest.raises(InstallerError, match="database name 'Fruits'"):
        install("http://127.0.0.1:1", "Fruits")
