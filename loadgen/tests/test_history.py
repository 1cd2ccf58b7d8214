"""History files: written, read, and refused with the line that is wrong."""

from pathlib import Path

import pytest

from loadgen.history import HistoryError, HistoryLog, read_history
from loadgen.tests.histories import operation

LINE = '{"document":"a","kind":"read","client":1,"start_ns":5,"end_ns":6,"status":200,"change_count":0}'


def test_what_is_written_is_read(tmp_path: Path) -> None:
    history = [
        operation("create", 0, 1, 0, epoch="monday"),
        operation("update", 2, 3, status=None),
        operation("read", 4, 5, status=404),
    ]
    log = HistoryLog(tmp_path / "history.jsonl")
    for each in history:
        log.write(each)
    log.close()
    assert list(read_history(tmp_path / "history.jsonl")) == list(enumerate(history, 1))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "Input data was truncated"),
        ("[1]", "Expected `object`, got `array`"),
        (LINE[:-1], "Input data was truncated"),
        (LINE + LINE, "trailing characters"),
        (LINE.replace('"read"', '"look"'), "Invalid enum value 'look' - at `$.kind`"),
        (LINE.replace('"client":1,', ""), "missing required field `client`"),
        (LINE.replace("200", '"200"'), "Expected `int | null`, got `str` - at `$.status`"),
        (LINE.replace('"change_count":0', '"change_count":-1'), "`$.change_count`"),
        (LINE.replace('"change_count":0', f'"change_count":{2**63}'), "`$.change_count`"),
        (LINE.replace('"end_ns":6', '"end_ns":4'), "end_ns is before start_ns"),
        (LINE.replace("status", "state"), "unknown field `state`"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(HistoryError) as caught:
        list(read_history(path))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert problem in str(caught.value)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(LINE.replace('"a"', '"?"').encode().replace(b"?", b"\xff"))
    with pytest.raises(HistoryError, match=r"jsonl:1: "):
        list(read_history(path))


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="nowhere: No such file"):
        list(read_history(tmp_path / "nowhere"))
