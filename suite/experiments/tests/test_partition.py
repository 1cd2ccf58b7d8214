import dataclasses
from typing import Any

import pytest
from rich.console import Console

from suite.experiments.multi_master import Figures
from suite.experiments.partition import partition_problems, partition_table
from suite.table import sample_named

GOOD = Figures(
    acknowledged={"east": 1234, "west": 56},
    unknown=1,
    conflicts=25,
    merged=27,
    superseded=22,
    failed=0,
    lost=0,
    conflicts_left=0,
    resume_s=0.34,
    convergence_s=1.26,
    writes_when_quiet=0,
)


def test_a_good_outcome_has_no_problems() -> None:
    assert partition_problems(GOOD) == []


@pytest.mark.parametrize("figure", ["lost", "conflicts_left", "writes_when_quiet"])
def test_what_must_not_be_is_named_with_its_number(figure: str) -> None:
    change: dict[str, Any] = {figure: 3}
    (problem,) = partition_problems(dataclasses.replace(GOOD, **change))
    assert problem.startswith("3 ")


def test_table_shows_each_figure() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(partition_table(sample_named("crud/multi_master"), GOOD))
    for title, figure in {
        "changes in the east": "1,234",
        "conflicts": "25",
        "merged": "27",
        "updates lost": "0",
        "s to converge then": "1.3",
    }.items():
        assert any(title in line and f" {figure} " in line for line in capture.get().splitlines())
