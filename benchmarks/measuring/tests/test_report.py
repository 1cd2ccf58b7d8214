from pathlib import Path

from benchmarks.measuring import report


def test_a_median_shows_the_range_that_it_comes_from() -> None:
    assert report.median_with_range([1300, 1100, 1234]) == "1,234 (1,100 to 1,300)"


def test_a_median_of_equal_values_stands_alone() -> None:
    assert report.median_with_range([2.04, 2.01], 1) == "2.0"


def test_a_ratio_compares_within_each_round() -> None:
    # In the second round the machine was ten times slower, for both.
    assert report.median_ratio([300, 30, 310], [100, 10, 100]) == 3.0


def test_a_table_has_its_columns_aligned_to_the_right_but_the_first() -> None:
    assert report.table(("who", "how much"), [("a", "1")]).splitlines() == [
        "| who | how much |",
        "| --- | ---: |",
        "| a | 1 |",
    ]


def test_a_report_is_written_with_its_title_and_date(tmp_path: Path) -> None:
    path = report.write(tmp_path / "new", "cost", "Cost", ["one", "two"])
    text = path.read_text()
    assert path.name == "cost.md"
    assert text.startswith("# Cost\n\nMeasured on 20")
    assert text.endswith(".\n\none\n\ntwo\n")
