"""What a user may ask for, and what is refused: at once, with nothing left behind."""

from pathlib import Path

import pytest

from new_service.__main__ import main
from suite.table import ROOT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["crud/none", "new", "--model=Invoice"], "there is no sample 'crud/none'; there are crud/basic"),
        (["crud/basic", "no/new", "--model=Invoice"], "there is no folder"),
        (["crud/basic", "full", "--model=Invoice"], "exists already, and is no empty folder"),
        (["crud/basic", "file", "--model=Invoice"], "exists already, and is no empty folder"),
        (["crud/basic", "2new", "--model=Invoice"], "is no name in lower case"),
        (["crud/basic", "class", "--model=Invoice"], "'class' is reserved"),
        (["crud/basic", "queue", "--model=Invoice"], "'queue' is a package that exists already"),
        (["crud/basic", "msgspec", "--model=Invoice"], "'msgspec' is a package that exists already"),
        (["crud/basic", "new", "--model=invoice"], "--model invoice: must be a class name"),
        (["crud/basic", "new", "--model=In-voice"], "--model In-voice: must be a class name"),
        (["crud/basic", "new", "--model=APIKey"], "--model APIKey: write it as ApiKey"),
        (["crud/basic", "new", "--model=Class"], "class: is a name of Python's own"),
        (["crud/basic", "new", "--model=Exception"], "Exception: is a name of Python's own"),
        (["crud/basic", "new", "--model=Model"], "would stand for both"),
        (["crud/basic", "new", "--model=Database"], "'Database' would stand for both Database and Fruit"),
        (["crud/basic", "new", "--model=Color"], "'Color' would stand for both"),
        (["crud/basic", "new", "--model=Sheep", "--plural=sheep"], "must differ from one sheep"),
        (["crud/basic", "new", "--model=Person", "--plural=Two people"], "must be a name in lower case"),
        (["crud/basic", "new", "--model=Invoice", "--property=amount"], "has no type, as in 'amount:str'"),
        (["crud/basic", "new", "--model=Invoice", "--property=amount:money"], "unknown type 'money'"),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=a:str:signed"],
            "only ':encrypted' or ':hashed' may follow",
        ),
        (["crud/basic", "new", "--model=Invoice", "--property=a:str:"], "only ':encrypted' or ':hashed' may"),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=a:list"],
            "types are str, int, float, bool, date",
        ),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=a:bool:hashed"],
            "which no hash hides; str, int,",
        ),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=a:float:hashed"],
            "not looked up by equality; str",
        ),
        (["crud/basic", "new", "--model=Invoice", "--property=Amount:int"], "must be in lower case"),
        (["crud/basic", "new", "--model=Invoice", "--property=type:str"], "a name of Python's own"),
        (["crud/basic", "new", "--model=Invoice", "--property=rev:str"], "every model has 'rev' already"),
        (["crud/basic", "new", "--model=Invoice", "--property=count:int"], "change_count"),
        (["crud/basic", "new", "--model=Invoice", "--property=updated_on:str"], "'updated_on'"),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=invoice:str"],
            "'Invoice' would stand for both",
        ),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=a:int", "--property=invoice:str"],
            "'invoice' is taken",
        ),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=a:int", "--property=a:str"],
            "'a' is given twice",
        ),
        (
            ["crud/basic", "new", "--model=Invoice", "--property=a:str:hashed", "--property=a_hash:str"],
            "--property a_hash:str: 'a_hash' is given twice",
        ),
        (["crud/basic", "new", "--model=Invoice", "--property=from:str"], "from: is a name of Python's own"),
        (["crud/basic", "new", "--model=Invoice", "--property=id:str"], "every model has 'id' already"),
        (["crud/basic", "new", "--model=FAQ"], "--model FAQ: write it as Faq"),
        (["crud/basic", str(ROOT / "new"), "--model=Invoice"], "is in the checkout of tor-async-suite"),
        (["outbox", "new", "--model=Invoice", "--property=a:int"], "sample outbox stores no model"),
        (["health", "new", "--model=Invoice", "--property=a:int"], "sample health stores no model"),
        (
            ["crud/migration", "new", "--model=Invoice", "--property=a:int"],
            "the versions of the model in sample crud/migration differ in its properties",
        ),
        (
            ["crud/tampering", "new", "--model=Invoice", "--property=a:str:encrypted"],
            "SIGNING, does not encrypt",
        ),
        (
            ["changes", "new", "--model=Invoice", "--property=a:str:encrypted"],
            "reads what others have written",
        ),
        (["changes", "new", "--model=Invoice", "--property=a:str:hashed"], "reads what others have written"),
        (["crud/idempotent", "new", "--model=Invoice", "--property=a:str:encrypted"], "could be guessed"),
        (["crud/idempotent", "new", "--model=Invoice", "--property=a:str:hashed"], "could be guessed"),
        (["crud/append_only", "new", "--model=Invoice", "--property=a:str:encrypted"], "is not encrypted"),
        (
            ["crud/append_only", "new", "--model=Invoice", "--property=a:str:hashed"],
            "values that it had before",
        ),
        (["crud/multi_master", "new", "--model=Invoice", "--property=a:str:hashed"], "shows them to clients"),
        (
            ["crud/hash_and_encrypt", "new", "--model=Invoice", "--property=a:str:hashed"],
            "as 'email_hash' is",
        ),
        (
            ["crud/hash_and_encrypt", "new", "--model=Invoice", "--property=a:str:encrypted"],
            "key of that person",
        ),
        (["crud/multi_master", "new", "--model=Invoice", "--property=a:int"], "it has to be a str"),
        (["crud/basic", "new", "--model=Invoice", "--suite=full"], "--suite full: neither a git URL"),
        (["--update", "full"], "was not made by new_service.sh"),
    ],
)
def test_what_can_not_be_made_is_refused_and_leaves_nothing_behind(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert main([*arguments, f"--caller={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("./new_service.sh: ")
    assert message in error
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["crud/basic", "--model=Invoice"], "give a SAMPLE and a FOLDER"),
        (["crud/basic", "new"], "give a --model"),
        (["crud/basic", "new", "--model=Invoice", "--port=80"], "'80' is not a port"),
        (["crud/basic", "new", "--model=Invoice", "--colour=red"], "unrecognized arguments"),
        (["--update", "new", "--model=Invoice"], "--update takes no other option"),
    ],
)
def test_wrong_command_line_ends_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err
