from pathlib import Path
from typing import Annotated

import pytest

from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import Protection
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.folder import Protector, new_protection
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_service.app.options import parse
from tor_async_service.couchdb.protecting import PROTECTING, PROTECTION


def test_folder_of_secrets_is_read_from_the_command_line_or_the_environment(tmp_path: Path) -> None:
    new_protection(tmp_path / "own")
    for arguments, environment in (
        ([f"--protection={tmp_path / 'own'}"], {}),
        ([], {"PROTECTION_FOLDER": str(tmp_path / "own")}),
    ):
        configuration = parse("It.", arguments, environment, own_options=[PROTECTION])
        assert isinstance(configuration.own["protection"], Protector)
        assert "protection" not in repr(configuration).lower()


class Note(Model, tag="note_v1.0"):
    text: Annotated[str | None, Protection.ENCRYPTED]


async def test_guard_encrypts_and_signs_if_it_has_a_key_set(tmp_path: Path) -> None:
    new_protection(tmp_path / "own")
    signing.new_key_set(tmp_path / "keys.json")
    protection = Protector.from_folder(tmp_path / "own")
    keyset = TamperingSigner.from_file(tmp_path / "keys.json")
    for signer in (None, keyset):
        guard = PROTECTING.make(protection=protection, keyset=signer)
        sealed = await guard.seal(Note, Note(id="a", text="s3cr3t").as_doc_for_store())
        assert "s3cr3t" not in str(sealed)
        assert signing.verify(keyset, sealed) is (signer is not None)
        open_document = await guard.opener(Note, [sealed])
        assert open_document(sealed)["text"] == "s3cr3t"


def test_folder_that_holds_no_secrets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("It.", [f"--protection={tmp_path}"], {}, own_options=[PROTECTION])
    assert "No such file or directory" in capsys.readouterr().err
