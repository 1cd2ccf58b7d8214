from pathlib import Path

import pytest

from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.protection import key_set
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.folder import MASTER_KEY, Protector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert main(["secrets", "new", str(tmp_path / "protection")]) == 0
    return tmp_path / "protection"


def data_keys(folder: Path) -> DataKeys:
    return Protector.from_folder(folder).data_keys


def text_of_key(folder: Path) -> str:
    key = data_keys(folder).fetch_or_make("jane")
    assert key is not None
    return key.text


def test_master_key_is_rotated_and_the_data_keys_stay_as_they_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = text_of_key(folder)
    master_key = folder / MASTER_KEY
    (old,) = key_set.key_states(master_key)
    assert main(["keys", "add", str(master_key)]) == 0
    assert main(["keys", "promote", str(master_key), capsys.readouterr().out.strip()]) == 0
    assert text_of_key(folder) == before
    assert main(["secrets", "rewrap", str(folder)]) == 0
    assert capsys.readouterr().out == "1 data keys wrapped by the primary key\n"
    assert main(["keys", "retire", str(master_key), str(old)]) == 0
    assert text_of_key(folder) == before


def test_older_data_keys_are_retired(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text_of_key(folder)
    data_keys(folder).rotate()
    assert main(["secrets", "retire", str(folder)]) == 0
    assert capsys.readouterr().out == "the older data keys of 1 subjects deleted\n"
    key = data_keys(folder).fetch(["jane"])["jane"]
    assert key is not None
    assert len(key.key_ids) == 1


def test_subject_is_erased(folder: Path) -> None:
    text_of_key(folder)
    assert main(["secrets", "erase", str(folder), "jane"]) == 0
    assert data_keys(folder).fetch(["jane"]) == {"jane": None}


def test_wrong_folder_is_named_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["secrets", "new", str(folder)]) == 1
    assert capsys.readouterr().err == f"python -m tor_async_couchdb: {folder}: File exists\n"
    assert main(["secrets", "rewrap", str(tmp_path / "absent")]) == 1
    missing = tmp_path / "absent" / MASTER_KEY
    assert capsys.readouterr().err == (f"python -m tor_async_couchdb: {missing}: No such file or directory\n")
    (folder / "pepper").write_text("")
    assert main(["secrets", "rewrap", str(folder)]) == 1
    assert capsys.readouterr().err == f"python -m tor_async_couchdb: '{folder / 'pepper'}' holds no pepper\n"
