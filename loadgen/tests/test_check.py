"""The command that checks a history file."""

from pathlib import Path

import pytest

from loadgen.check import main
from loadgen.history import HistoryLog, Operation
from loadgen.tests.histories import operation


def history(folder: Path, *operations: Operation) -> str:
    log = HistoryLog(folder / "history.jsonl")
    for each in operations:
        log.write(each)
    log.close()
    return str(folder / "history.jsonl")


def test_linearizable_history_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    updates = [operation("update", 2 * count, 2 * count + 1, count) for count in range(1, 1234)]
    assert main([history(tmp_path, operation("create", 0, 1, 0), *updates)]) == 0
    assert capsys.readouterr().out == "linearizable: yes, 1,234 operations\n"


def test_stale_read_is_shown_unless_reads_are_per_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    created, update = operation("create", 0, 1, 0), operation("update", 2, 3, 1)
    path = history(tmp_path, created, update, operation("read", 4, 5, 0, client=2))
    assert main([path]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "linearizable: no, 3 operations",
        "document apple: stale read: "
        "it began after change 1 had been seen or acknowledged, and shows the version before",
        "  [2 .. 3 ns] client 1: update, 200 with change_count 1",
        "  [4 .. 5 ns] client 2: read, 200 with change_count 0",
    ]
    assert main([path, "--reads", "session"]) == 0
    assert capsys.readouterr().out == "linearizable: yes, 3 operations (writes; reads per session)\n"


def test_only_the_first_violations_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reads = [operation("read", 2, 3, 0, document=f"fruit {number}") for number in range(7)]
    assert main([history(tmp_path, *reads)]) == 1
    output = capsys.readouterr().out
    assert output.count("document fruit") == 5
    assert output.endswith("2 more documents have violations\n")


@pytest.mark.parametrize(
    ("second", "problem"),
    [("{}", "missing required field"), ('{"client":1}', "missing required field")],
)
def test_malformed_line_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: str, problem: str
) -> None:
    path = Path(history(tmp_path, operation("create", 0, 1, 0)))
    with path.open("a") as file:
        file.write(second + "\n")
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{path}:2: ")
    assert problem in error


def test_client_that_does_two_things_at_once_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history(tmp_path, operation("create", 0, 5, 0), operation("read", 4, 6, 0))
    assert main([path, "--reads", "session"]) == 2
    assert capsys.readouterr().err == f"{path}:2: client 1 has two operations at the same time\n"
