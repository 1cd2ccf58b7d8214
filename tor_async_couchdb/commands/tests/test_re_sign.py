from pathlib import Path

import pytest

from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.protection import key_set, signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.protection.tests.test_keyczar import VECTORS


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    signing.new_key_set(tmp_path / "keys.json")
    return tmp_path / "keys.json"


def test_database_is_re_signed(
    database: AdminDatabase, options: list[str], keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.create()
    database.write([signing.sign(TamperingSigner.from_file(keys), {"_id": "a", "type": "fruit_v1.0"})])
    key_set.promote_key(keys, key_set.add_key(keys))
    assert main(["re-sign", *options, f"--keyset={keys}", f"--keyczar={VECTORS / 'sign'}"]) == 0
    assert capsys.readouterr().out == "1 re-signed, 1 signed by the primary key\n"
    assert main(["re-sign", *options, f"--keyset={keys}"]) == 0
    assert capsys.readouterr().out == "0 re-signed, 1 signed by the primary key\n"


def test_document_that_is_left_as_it_is_is_named(
    database: AdminDatabase, options: list[str], keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.create()
    database.write([{"_id": "a", "type": "fruit_v1.0"}])
    assert main(["re-sign", *options, f"--keyset={keys}"]) == 1
    output = capsys.readouterr()
    assert output.out == "0 re-signed, 0 signed by the primary key\n"
    assert output.err == "document 'a' was tampered with or never signed: left as it is\n"


def test_wrong_file_folder_or_database_is_named_in_one_line(
    database: AdminDatabase,
    options: list[str],
    keys: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for own_options, words in (
        ([f"--keyset={tmp_path / 'absent.json'}"], "absent.json: No such file or directory"),
        ([f"--keyset={VECTORS / 'sign' / 'meta'}"], "holds no Tink key set"),
        ([f"--keyset={keys}", f"--keyczar={tmp_path}"], "meta: No such file or directory"),
        ([f"--keyset={keys}"], f"database '{database.name}' on '{database.server.host}' does not exist"),
    ):
        assert main(["re-sign", *options, *own_options]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_unreachable_couchdb_is_named(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["re-sign", "--host=http://127.0.0.1:1", "--database=a", f"--keyset={keys}"]) == 1
    assert "http://127.0.0.1:1: can't be reached" in capsys.readouterr().err
