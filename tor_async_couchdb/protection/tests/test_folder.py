import stat
from pathlib import Path

import pytest

from tor_async_couchdb.protection import key_set
from tor_async_couchdb.protection.folder import MASTER_KEY, Protector, main, new_protection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_protection(tmp_path / "protection")
    return tmp_path / "protection"


def text_of_key(folder: Path, name: str = "jane") -> str:
    key = Protector.from_folder(folder).data_keys.fetch_or_make(name)
    assert key is not None
    return key.text


def test_new_secrets_are_readable_by_their_owner_only_and_usable(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert text_of_key(folder) == text_of_key(folder)
    with pytest.raises(FileExistsError):
        new_protection(folder)


@pytest.mark.parametrize("name", ["master_key.json", "data_keys.sqlite", "pepper"])
def test_file_that_is_missing_or_wrong_is_an_error_that_names_it(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"wrong " * 1000)
    with pytest.raises(ValueError, match=name):
        Protector.from_folder(folder)
    (folder / name).unlink()
    with pytest.raises((OSError, ValueError), match=name):
        Protector.from_folder(folder)


def test_master_key_is_rotated_without_touching_what_it_wraps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = text_of_key(folder)
    master_key = folder / MASTER_KEY
    (old,) = key_set.key_states(master_key)
    key_set.promote_key(master_key, key_set.add_key(master_key))
    assert text_of_key(folder) == before
    assert main(["rewrap", str(folder)]) == 0
    assert capsys.readouterr().out == "1 data keys wrapped anew\n"
    key_set.retire_key(master_key, old)
    assert text_of_key(folder) == before


def test_command_makes_forgets_and_retires(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new"
    assert main(["new", str(folder)]) == 0
    text_of_key(folder)
    data_keys = Protector.from_folder(folder).data_keys
    data_keys.rotate()
    assert main(["retire", str(folder)]) == 0
    assert capsys.readouterr().out == "1 subjects have only their primary key now\n"
    assert main(["forget", str(folder), "jane"]) == 0
    assert data_keys.fetch(["jane"]) == {"jane": None}


def test_wrong_folder_is_named_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", str(folder)]) == 1
    assert capsys.readouterr().err == f"{folder}: File exists\n"
    assert main(["rewrap", str(tmp_path / "absent")]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'absent' / MASTER_KEY}: No such file or directory\n"
    (folder / "pepper").write_text("")
    assert main(["rewrap", str(folder)]) == 1
    assert capsys.readouterr().err == f"'{folder / 'pepper'}' holds no pepper\n"
