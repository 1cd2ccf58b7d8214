"""A second run beside the first."""

import re
from pathlib import Path

import pytest

from suite.errors import SuiteError
from suite.only_run import only_run


def test_second_run_is_told_about_the_first(tmp_path: Path) -> None:
    with only_run(tmp_path) as say_where:
        say_where("http://127.0.0.1:8088")
        with pytest.raises(SuiteError) as raised, only_run(tmp_path):
            pass
        assert re.fullmatch(
            r"Already running, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, at http://127.0.0.1:8088.",
            str(raised.value),
        )


def test_run_can_follow_another_one(tmp_path: Path) -> None:
    for _ in range(2):
        with only_run(tmp_path) as say_where:
            say_where("http://127.0.0.1:8088")
