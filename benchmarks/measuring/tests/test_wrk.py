import shutil
from pathlib import Path

import pytest

from benchmarks.measuring import wrk
from benchmarks.measuring.wrk import Load, Target, parse_outcome, put_load
from suite.couchdb import CouchDB
from suite.errors import SuiteError

_LINE = '{"duration_s":2.0,"answers":100,"refusals":20,"failures":1,"puts_sent":50,"p50_ms":1.5,"p99_ms":9.0}'


def test_refusals_are_no_successes() -> None:
    outcome = parse_outcome(f"Running 2s test\n{_LINE}\n", "")
    assert (outcome.successes, outcome.successes_per_s) == (80, 40.0)


def test_without_an_outcome_the_error_has_the_words_of_wrk() -> None:
    with pytest.raises(SuiteError, match="unable to connect to 127"):
        parse_outcome("", "unable to connect to 127.0.0.1:1 Connection refused\n")


def test_without_any_words_the_error_says_so() -> None:
    with pytest.raises(SuiteError, match="it printed nothing"):
        parse_outcome("", "")


def test_the_view_is_asked_with_the_credentials() -> None:
    target = Target.view(CouchDB("http://127.0.0.1:5984", "admin", "secret"), "fruits")
    assert target.authorization == "Basic YWRtaW46c2VjcmV0"
    assert target.path_before_id == "/fruits/_design/fruit_by_fruit_id/_view/fruit_by_fruit_id?key=%22"


def test_who_has_no_wrk_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SuiteError, match="install it"):
        put_load(Target("http://127.0.0.1:1"), ["id"], Load(1, 1, 0))


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_the_version_of_wrk_is_a_number() -> None:
    assert wrk.wrk_version()[0].isdigit()
