"""The file with a row a request."""

from pathlib import Path

import pytest

from loadgen.answers import NO_ANSWER, Answer, Outcome
from loadgen.request_log import RequestLog
from loadgen.traffic import Request


def test_rows_are_tab_separated_below_a_header(tmp_path: Path) -> None:
    path = tmp_path / "requests.tsv"
    path.write_text("what an earlier load left\n")
    log = RequestLog(path)
    log.write(
        Request("PUT", "apple", 7, 1_790_000_000.25, 0.0123456, Answer(Outcome.SUCCEEDED, change_count=1))
    )
    log.write(Request("GET", "apple", 12, 1_790_000_001.0, 40.0, NO_ANSWER))
    log.close()
    assert path.read_bytes().decode() == (
        "time\ttype\tok\tclient\tms\n"
        "2026-09-21T14:13:20.250000+00:00\tPUT\t1\t7\t12.346\n"
        "2026-09-21T14:13:21.000000+00:00\tGET\t0\t12\t40000.000\n"
    )


def test_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        RequestLog(tmp_path / "nowhere" / "requests.tsv")
