"""The options of test_all_samples.sh."""

import pytest

from suite.options import parse_test
from suite.test import commands


def _pytest_of(*arguments: str) -> tuple[str, ...]:
    (command,) = (command for command in commands(parse_test(arguments)) if command[0] == "pytest")
    return command


def test_long_tests_run_only_with_all() -> None:
    assert "-m" not in _pytest_of()  # so that the expression of pyproject.toml holds
    assert _pytest_of("--all")[2:4] == ("-m", "long or not long")


def test_of_some_samples_only_their_own_tests_run() -> None:
    assert commands(parse_test(["--only", "leader,crud/retry"])) == [
        ("pytest", "-q", "samples/tests/test_leader.py")
    ]
    assert commands(parse_test(["--only", "crud/retry"])) == []  # it has tests.py alone


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_test(["--help"])
    assert exit_.value.code == 0
    assert "--all" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--twice", "--al", "all"])
def test_unknown_option_is_an_error(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_test([option])
    assert exit_.value.code == 2
    assert option in capsys.readouterr().err
