import json
from pathlib import Path

import pytest

from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.protection import signing
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.things import THING_BY_KEY


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """A folder with a design document, and one with a seed document."""
    (tmp_path / "design").mkdir()
    (tmp_path / "design" / "thing_by_key.json").write_text(json.dumps(THING_BY_KEY))
    (tmp_path / "seed").mkdir()
    seed = {"_id": "first", "type": "thing_v1.0", "key": "a", "count": 0}
    (tmp_path / "seed" / "first.json").write_text(json.dumps(seed))
    return [f"--design-docs={tmp_path / 'design'}", f"--seed-docs={tmp_path / 'seed'}"]


def test_folders_are_installed_and_installing_again_changes_nothing(
    database: AdminDatabase, options: list[str], folders: list[str]
) -> None:
    for _ in range(2):
        assert main(["install", *options, *folders]) == 0
        documents = database.fetch(["_design/thing_by_key", "first"])
        assert [document["_rev"][:2] for document in documents.values()] == ["1-", "1-"]


def test_without_folders_an_empty_database_is_created(database: AdminDatabase, options: list[str]) -> None:
    assert main(["install", *options]) == 0
    assert database.count_documents() == 0


def test_seed_documents_can_be_signed_and_design_documents_left_out(
    database: AdminDatabase, options: list[str], folders: list[str], tmp_path: Path
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signed = f"--seeddocsigner={tmp_path / 'keys.json'}"
    assert main(["install", *options, *folders, signed, "--createdesign=false"]) == 0
    (document,) = database.fetch(["_design/thing_by_key", "first"]).values()
    assert signing.verify(signing.TamperingSigner.from_file(tmp_path / "keys.json"), document)


def test_missing_folder_is_named_and_nothing_is_created(
    database: AdminDatabase, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", *options, f"--design-docs={tmp_path / 'absent'}"]) == 1
    error = f"python -m tor_async_couchdb: {tmp_path / 'absent'}: no such folder\n"
    assert capsys.readouterr().err == error
    assert not database.exists()


@pytest.mark.parametrize("kind", ["basic", "session"])
def test_secrets_of_files_are_taken_by_each_login(
    database: AdminDatabase,
    options: list[str],
    couchdb: CouchDBServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    for name, secret in (("COUCHDB_USER", couchdb.username), ("COUCHDB_PASSWORD", couchdb.password)):
        (tmp_path / name).write_text(f"{secret}\n")
        monkeypatch.delenv(name)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    assert main(["install", *options, f"--couchdb-auth={kind}"]) == 0
    assert database.exists()
