import sys
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.commands import re_encrypt
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.protection import encryption
from tor_async_couchdb.protection.folder import Protector, new_protection
from tor_async_couchdb.protection.tests.test_encryption import Person, person
from tor_async_couchdb.testing.couchdb import CouchDBServer

MODEL = "--model=tor_async_couchdb.protection.tests.test_encryption:Person"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_protection(tmp_path / "protection")
    return tmp_path / "protection"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, couchdb: CouchDBServer, database: AdminDatabase) -> Any:
    """Runs the command with these options; its exit status."""
    monkeypatch.setenv("COUCHDB_USER", couchdb.username)
    monkeypatch.setenv("COUCHDB_PASSWORD", couchdb.password)
    monkeypatch.setattr(re_encrypt, "MAX_AGE_S", 0.0)

    def run(*options: str) -> int:
        arguments = [f"--host={couchdb.url}", f"--database={database.name}", *options]
        monkeypatch.setattr(sys, "argv", ["re_encrypting", *arguments])
        return re_encrypt.main()

    return run


def test_database_is_re_encrypted(
    run: Any, database: AdminDatabase, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_keys = Protector.from_folder(folder).data_keys
    key = data_keys.fetch_or_make("jane")
    assert key is not None
    database.create()
    database.write([encryption.encrypted(Person, person(), key)])
    for written in (1, 0):
        assert run(f"--protection={folder}", MODEL) == 0
        assert capsys.readouterr().out == f"{written} re-encrypted, 1 as they have to be\n"
    data_keys.retire()
    keys = data_keys.fetch(["jane"])
    readable = encryption.decrypted(Person, database.fetch(["1"])["1"], keys)
    assert readable["address"] == person()["address"]


def test_wrong_option_is_named_in_one_line(
    run: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protection = f"--protection={folder}"
    for options, words in (
        ([f"--protection={tmp_path / 'absent'}", MODEL], "No such file or directory"),
        ([f"--protection={tmp_path}", MODEL], "master_key.json: No such file or directory"),
        ([protection, "--model=absent:Person"], "model 'absent:Person': No module named 'absent'"),
        ([protection, "--model="], "model ''"),
        ([protection, "--model=sys:Person"], "model 'sys:Person'"),
        ([protection, "--model=sys:path"], "model 'sys:path' is none"),
        ([protection, MODEL, "--keyset=absent.json"], "absent.json: No such file or directory"),
        ([protection, MODEL], "AdminDatabase does not exist"),
    ):
        assert run(*options) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
