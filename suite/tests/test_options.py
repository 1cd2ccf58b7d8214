"""The options of run_all_samples.sh; those of test_all_samples.sh are in test_test.py."""

import pytest

from suite.options import parse_run, parse_test


def test_without_options_all_samples_run_under_load() -> None:
    options = parse_run([])
    assert (options.once, options.only, options.duration, options.chaos) == (False, None, 15, None)


def test_samples_are_chosen_by_their_names() -> None:
    assert parse_run(["--only", "crud/retry,leader"]).only == ("crud/retry", "leader")
    assert parse_test(["--only", "crud/retry"]).only == ("crud/retry",)


@pytest.mark.parametrize("arguments", [["--no-load"], ["--duration", "0"]])
def test_run_without_a_load_can_be_asked_for_in_two_ways(arguments: list[str]) -> None:
    assert parse_run(arguments).duration == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--onse"], "unrecognized arguments: --onse"),
        (["once"], "unrecognized arguments: once"),
        (["--duration", "1.5"], "'1.5' is not a whole number of seconds, 0 or more"),
        (["--duration", "-1"], "--duration"),
        (["--only", "crud/tetry"], "there is no sample 'crud/tetry': there are crud/basic, crud/retry"),
        (["--only", ""], "there is no sample ''"),
        (["--chaos", "x"], "'x' is not a whole number of up to nine digits"),
        (["--chaos", "7", "--no-load"], "--chaos needs a load"),
    ],
)
def test_wrong_option_is_an_error_that_names_it(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_run(arguments)
    assert exit_.value.code == 2
    assert words in capsys.readouterr().err
