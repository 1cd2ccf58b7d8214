import json
from pathlib import Path

import pytest

from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.protection.key_set import key_states


def test_key_set_is_made_and_rotated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.json"
    assert main(["keys", "new", str(path)]) == 0
    (old,) = key_states(path)
    assert main(["keys", "add", str(path)]) == 0
    new = int(capsys.readouterr().out)
    assert main(["keys", "promote", str(path), str(new)]) == 0
    assert main(["keys", "retire", str(path), str(old)]) == 0
    assert main(["keys", "list", str(path)]) == 0
    output = capsys.readouterr()
    assert output.out == f"{old} retired\n{new} primary\n"
    for key in json.loads(path.read_text())["key"]:
        assert key["keyData"]["value"] not in output.out + output.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new", "keys.json"], "keys.json: File exists\n"),
        (["add", "absent.json"], "absent.json: No such file or directory\n"),
        (["list", "absent.json"], "absent.json: No such file or directory\n"),
        (["promote", "keys.json", "7"], "keys.json: has no key 7\n"),
    ],
)
def test_failure_is_one_line_that_names_the_file(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["keys", "new", "keys.json"]) == 0
    assert main(["keys", *arguments]) == 1
    assert capsys.readouterr().err == f"python -m tor_async_couchdb: {words}"
