from pathlib import Path

import pytest

from tor_async_couchdb.commands import re_encrypt
from tor_async_couchdb.commands.command_line import main, new_parser
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.protection import encryption
from tor_async_couchdb.protection.folder import Protector, new_protection
from tor_async_couchdb.tests.people import HOME, Person, person

MODEL = "--model=tor_async_couchdb.tests.people:Person"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_protection(tmp_path / "protection")
    return tmp_path / "protection"


def test_database_is_re_encrypted_once_no_service_uses_the_old_keys(
    database: AdminDatabase, options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_keys = Protector.from_folder(folder).data_keys
    key = data_keys.fetch_or_make("jane")
    assert key is not None
    database.create()
    database.write([encryption.encrypted(Person, person(), key)])
    parsed = new_parser().parse_args(["re-encrypt", *options, f"--protection={folder}", MODEL])
    for written in (1, 0):
        pauses_s: list[float] = []
        assert re_encrypt.run(parsed, sleep=pauses_s.append) == 0
        assert pauses_s == [encryption.MAX_AGE_S]
        assert capsys.readouterr().out == f"{written} re-encrypted, 1 encrypted by the primary keys\n"
    data_keys.retire()
    keys = data_keys.fetch(["jane"])
    readable = encryption.decrypted(Person, database.fetch(["1"])["1"], keys)
    assert readable["address"] == HOME


def test_missing_database_is_named_before_any_key_is_rotated(
    database: AdminDatabase, options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_keys = Protector.from_folder(folder).data_keys
    before = data_keys.fetch_or_make("jane")
    assert main(["re-encrypt", *options, f"--protection={folder}", MODEL]) == 1
    assert f"database '{database.name}' on '{database.server.host}' does not exist" in capsys.readouterr().err
    after = Protector.from_folder(folder).data_keys.fetch(["jane"])["jane"]
    assert before is not None
    assert after is not None
    assert after.text == before.text


def test_wrong_option_is_named_in_one_line(
    options: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protection = f"--protection={folder}"
    for own_options, words in (
        ([f"--protection={tmp_path / 'absent'}", MODEL], "No such file or directory"),
        ([f"--protection={tmp_path}", MODEL], "master_key.json: No such file or directory"),
        ([protection, "--model=absent:Person"], "model 'absent:Person': No module named 'absent'"),
        ([protection, "--model="], "model ''"),
        ([protection, "--model=sys:Person"], "model 'sys:Person'"),
        ([protection, "--model=sys:path"], "model 'sys:path' is no subclass of Model"),
        ([protection, MODEL, "--keyset=absent.json"], "absent.json: No such file or directory"),
    ):
        assert main(["re-encrypt", *options, *own_options]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
