from pathlib import Path

import pytest

from tor_async_couchdb.protection.folder import Protector, new_protection
from tor_async_service.app.options import parse
from tor_async_service.couchdb.protecting import PROTECTION


def test_folder_of_secrets_is_read_from_the_command_line_or_the_environment(tmp_path: Path) -> None:
    new_protection(tmp_path / "own")
    for arguments, environment in (
        ([f"--protection={tmp_path / 'own'}"], {}),
        ([], {"PROTECTION_FOLDER": str(tmp_path / "own")}),
    ):
        configuration = parse("It.", arguments, environment, own_options=[PROTECTION])
        assert isinstance(configuration.own["protection"], Protector)
        assert "protection" not in repr(configuration).lower()


def test_folder_that_holds_no_secrets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("It.", [f"--protection={tmp_path}"], {}, own_options=[PROTECTION])
    assert "No such file or directory" in capsys.readouterr().err
