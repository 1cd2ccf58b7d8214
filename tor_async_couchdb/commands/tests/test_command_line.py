import argparse
import subprocess
import sys

import pytest

from tor_async_couchdb.commands.command import Command
from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.protection.key_set import KeySetError

COMMANDS = ("install", "replicate", "re-sign", "re-encrypt", "keys", "secrets")


def test_package_runs_as_a_command_that_lists_its_commands() -> None:
    command = [sys.executable, "-m", "tor_async_couchdb", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - our own command
    assert result.stdout.startswith("usage: python -m tor_async_couchdb ")
    for name in COMMANDS:
        assert f"    {name}" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"usage: python -m tor_async_couchdb {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["upgrade"], "invalid choice: 'upgrade'"),
        (["keys"], "required: COMMAND"),
        (["keys", "forge", "keys.json"], "invalid choice: 'forge'"),
        (["keys", "promote", "keys.json"], "required: KEY_ID"),
        (["keys", "promote", "keys.json", "one"], "argument KEY_ID: invalid int value: 'one'"),
        (["secrets", "erase", "folder"], "required: SUBJECT"),
        (["install"], "required: --database"),
        (["install", "--data=a"], "required: --database"),
        (["replicate", "--between=http://127.0.0.1:1/a"], "required: --and"),
        (["re-sign", "--database=a"], "required: --keyset"),
        (["re-encrypt", "--database=a"], "required: --protection, --model"),
        (["re-sign", "--database=a", "--keyset=b", "--host=a b"], "--host: required format is"),
    ],
)
def test_wrong_command_line_ends_with_2_and_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CouchDBError("http://a: no answer"), "http://a: no answer"),
        (KeySetError("keys.json: no key set"), "keys.json: no key set"),
        (FileNotFoundError(2, "No such file", "keys.json"), "keys.json: No such file"),
        (BrokenPipeError(32, "Broken pipe"), "[Errno 32] Broken pipe"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)  # fmt: skip
def test_failure_is_one_line_and_ends_with_1(
    error: BaseException, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: argparse.Namespace) -> int:
        raise error

    assert main(["fail"], [Command("fail", "fail", lambda parser: None, fail)]) == 1
    assert capsys.readouterr() == ("", f"python -m tor_async_couchdb: {line}\n")


WITHOUT_EXTRAS = (
    "import sys; sys.modules.update(dict.fromkeys(('tink', 'argon2', 'rfc8785')));"
    "from tor_async_couchdb.commands.command_line import main; sys.exit(main())"
)


def without_extras(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WITHOUT_EXTRAS, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own command


def test_install_and_replicate_need_no_extra() -> None:
    for name in ("install", "replicate"):
        assert without_extras(name, "--help").returncode == 0
    completed = without_extras("install", "--database=a", "--host=http://127.0.0.1:1")
    assert (completed.returncode, completed.stdout) == (1, "")
    assert "http://127.0.0.1:1" in completed.stderr


@pytest.mark.parametrize("arguments", [("keys", "new", "a"), ("re-sign", "--keyset=a"), ("secrets", "-h")])
def test_command_without_its_extra_fails_and_names_it(arguments: tuple[str, ...]) -> None:
    completed = without_extras(*arguments)
    assert (completed.returncode, completed.stdout) == (1, "")
    assert f"'{arguments[0]}' needs the extra 'protection'" in completed.stderr
