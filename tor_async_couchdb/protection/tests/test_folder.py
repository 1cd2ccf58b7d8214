import stat
from pathlib import Path

import pytest

from tor_async_couchdb.protection.folder import Protector, new_protection


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
