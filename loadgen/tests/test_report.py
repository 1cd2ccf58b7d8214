"""The summary, for people and for programs."""

import json
from dataclasses import asdict, replace

from loadgen.report import Summary

SUMMARY = Summary(
    host="http://127.0.0.1:8446",
    fruits=5,
    percent_put=80,
    requests=12345,
    succeeded=12000,
    requests_per_s=823.04,
    p50_ms=20.04,
    p99_ms=1234.56,
    conflicts_met=400,
    resolved=300,
    given_up=5,
    acknowledged=9000,
    refused=345,
    unknown=2,
    in_database=9001,
    lost=0,
    problems=(),
)


def test_text_has_a_line_a_figure() -> None:
    lines = SUMMARY.as_text().splitlines()
    assert lines[0] == "http://127.0.0.1:8446: 5 fruits, 80 % PUT"
    assert lines[1].split(maxsplit=2) == ["requests", "12,345", "823.0/s, p50 20.0 ms, p99 1,234.6 ms"]
    assert lines[-2].split() == ["lost", "0"]
    assert lines[-1] == "No acknowledged update was lost."


def test_text_names_every_problem() -> None:
    lines = replace(SUMMARY, problems=("one", "two")).as_text().splitlines()
    assert lines[-2:] == ["FAILED: one", "FAILED: two"]


def test_what_is_not_known_is_not_shown_as_a_number() -> None:
    text = replace(SUMMARY, in_database=None, lost=None, p50_ms=None, problems=("gone",)).as_text()
    lines = text.splitlines()
    assert [line.split(maxsplit=1) for line in lines if line.startswith("  lost")] == [["lost", "not known"]]
    assert "p50 -, p99" in text


def test_json_has_the_same_figures() -> None:
    assert json.loads(SUMMARY.as_json()) == {**asdict(SUMMARY), "problems": []}
