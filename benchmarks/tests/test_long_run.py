"""A long run in small: neither a process nor the page grows without end."""

from pathlib import Path

import pytest

from benchmarks.long_run import PAGE_HEAP, STAND_IN, Run, grown, growth, read, write
from watch.tests.browser import chromium

_DURATION_S, _INTERVAL_S = 180, 10
# The keys that `idempotent` promises to remember for five minutes still get more.
_MAX_GROWTH = 1.5
# All that the page keeps, the moments of four minutes among it.
_MAX_HEAP_KIB = 24 * 1024


@pytest.mark.long
def test_three_minutes_leave_memory_flat_and_lose_nothing(tmp_path: Path) -> None:
    chromium()
    with Run(tmp_path, users=8, pace=4) as run:
        memory, of_page = read(run, _DURATION_S, _INTERVAL_S)
        acknowledged, lost = run.acknowledged(), run.lost()
    assert acknowledged > 100
    assert lost == 0
    heap = of_page.pop(PAGE_HEAP)
    assert max(heap) < _MAX_HEAP_KIB
    assert grown({**memory, **of_page}, at_most=_MAX_GROWTH) == {}


def test_growth_compares_the_end_with_what_was_there_once_all_was_loaded() -> None:
    assert growth([1.0, 50.0, 50.0, 60.0, 70.0, 100.0]) == 2.0
    assert growth([10.0, 20.0]) == 1.0


def test_what_has_grown_is_named_but_for_the_stand_in() -> None:
    readings = {"locust": [10.0, 10.0, 13.0], "changes": [10.0, 10.0, 12.0], STAND_IN: [1.0, 1.0, 9.0]}
    assert grown(readings) == {"locust": 1.3}


def test_table_has_a_row_for_each_process_and_each_figure_of_the_page(tmp_path: Path) -> None:
    memory = {"crud/retry": [50.0, 60.0, 60.0, 60.0, 60.0, 66.0], "locust": [55.0] * 6}
    text = write(tmp_path, memory, {PAGE_HEAP: [2500.0] * 6}, "All samples.", ["Machine: any."]).read_text()
    assert "| crud/retry | 50.0 | 60.0 | 66.0 | 66.0 | 1.10 |" in text
    assert f"| {PAGE_HEAP} | 2,500 | 2,500 | 2,500 | 2,500 | 1.00 |" in text
