from pathlib import Path

import pytest

from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.tests.houses import house

MODEL = "--model=tor_async_couchdb.tests.houses:HouseV2"


def test_database_is_migrated_once(
    database: AdminDatabase, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    database.create()
    database.write([house(_id="a"), house(_id="b")])
    assert main(["migrate", *options, MODEL, "--max-writes-per-s=1000"]) == 0
    assert capsys.readouterr().out == "2 migrated, 2 current\n"
    assert main(["migrate", *options, MODEL]) == 0
    assert capsys.readouterr().out == "0 migrated, 2 current\n"


def test_signed_documents_are_signed_again(
    database: AdminDatabase, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.json"
    signing.new_key_set(keys)
    signer = TamperingSigner.from_file(keys)
    database.create()
    database.write([signing.sign(signer, house())])
    assert main(["migrate", *options, MODEL]) == 1
    assert "document '1' is signed, so a key set is needed: left as it is\n" in capsys.readouterr().err
    assert main(["migrate", *options, MODEL, f"--keyset={keys}"]) == 0
    [leaf] = database.fetch_leaves(["1"])
    assert leaf["type"] == "house_v2.0"
    assert signing.verify(signer, leaf)


def test_model_that_encrypts_needs_the_secrets(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", *options, "--model=tor_async_couchdb.tests.houses:SafeV2"]) == 1
    assert "has encrypted properties: give --protection" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "many"])
def test_rate_that_is_no_positive_number_is_refused(
    options: list[str], capsys: pytest.CaptureFixture[str], rate: str
) -> None:
    with pytest.raises(SystemExit):
        main(["migrate", *options, MODEL, f"--max-writes-per-s={rate}"])
    assert "--max-writes-per-s" in capsys.readouterr().err
