import sys
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.commands import re_sign
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.protection import key_set, signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.protection.tests.test_keyczar import VECTORS
from tor_async_couchdb.testing.couchdb import CouchDBServer


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    signing.new_key_set(tmp_path / "keys.json")
    return tmp_path / "keys.json"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, couchdb: CouchDBServer, database: AdminDatabase) -> Any:
    """Runs the command with these options; its exit status."""
    monkeypatch.setenv("COUCHDB_USER", couchdb.username)
    monkeypatch.setenv("COUCHDB_PASSWORD", couchdb.password)

    def run(*options: str, host: str = couchdb.url) -> int:
        arguments = [f"--host={host}", f"--database={database.name}", *options]
        monkeypatch.setattr(sys, "argv", ["re_signing", *arguments])
        return re_sign.main()

    return run


def test_database_is_re_signed(
    run: Any, database: AdminDatabase, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.create()
    database.write([signing.sign(TamperingSigner.from_file(keys), {"_id": "a", "type": "fruit_v1.0"})])
    key_set.promote_key(keys, key_set.add_key(keys))
    assert run(f"--keyset={keys}", f"--keyczar={VECTORS / 'sign'}") == 0
    assert capsys.readouterr().out == "1 re-signed, 1 signed by the primary key\n"
    assert run(f"--keyset={keys}") == 0
    assert capsys.readouterr().out == "0 re-signed, 1 signed by the primary key\n"


def test_what_is_left_is_named(
    run: Any, database: AdminDatabase, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.create()
    database.write([{"_id": "a", "type": "fruit_v1.0"}])
    assert run(f"--keyset={keys}") == 1
    output = capsys.readouterr()
    assert output.out == "0 re-signed, 0 signed by the primary key\n"
    assert output.err == "document 'a' was tampered with or never signed: left as it is\n"


def test_wrong_option_is_named_in_one_line(
    run: Any, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, words in (
        ([f"--keyset={tmp_path / 'absent.json'}"], "absent.json: No such file or directory"),
        ([f"--keyset={VECTORS / 'sign' / 'meta'}"], "holds no Tink key set"),
        ([f"--keyset={keys}", f"--keyczar={tmp_path}"], "meta: No such file or directory"),
        ([f"--keyset={keys}"], "AdminDatabase does not exist"),
    ):
        assert run(*options) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_couchdb_that_is_not_there_is_named(run: Any, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"--keyset={keys}", host="http://127.0.0.1:1") == 1
    assert "http://127.0.0.1:1: can't be reached" in capsys.readouterr().err
