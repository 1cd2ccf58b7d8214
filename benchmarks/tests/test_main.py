"""The command: every benchmark starts and explains itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import MODULES, main
from suite.table import ROOT

REQUIRED = {
    "requests": ["--before", "."],
    "multi_master": ["--one", "http://127.0.0.1:1", "--other", "http://127.0.0.1:2"],
    "etcd": ["--peers", "python"],
}


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the test's own arguments
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_name_it_lists_each_benchmark_in_a_line() -> None:
    done = benchmarks()
    assert done.returncode == 0
    listed = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [name for name, _ in listed] == list(MODULES)
    assert all(summary[0].isupper() and len(summary) < 110 for _, summary in listed[:-1])


def test_unknown_name_is_an_error_that_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["nothing"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "'nothing'" in error
    assert all(name in error for name in MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_each_benchmark_shows_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    assert f"usage: python -m benchmarks {name} " in capsys.readouterr().out


@pytest.mark.parametrize("name", MODULES)
def test_each_benchmark_refuses_an_unknown_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, *REQUIRED.get(name, []), "--twice"])
    assert exit_.value.code == 2
    assert "unrecognized arguments: --twice" in capsys.readouterr().err


def test_round_trip_of_signatures_in_small(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tampering_round_trip", "--documents", "50"]) == 0
    assert ": 0 false alarms" in capsys.readouterr().out


def test_query_server_in_small(capsys: pytest.CaptureFixture[str]) -> None:
    done = benchmarks("query_server", "--documents", "200", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert "couch-named-python" in done.stdout


@pytest.mark.parametrize("name", ["multi_master", "query_server_couchdb"])
def test_missing_environment_is_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("COUCHDB_URL", "COUCHDB_USER", "COUCHDB_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    assert main([name, *REQUIRED.get(name, [])]) == 1
    assert capsys.readouterr().err.startswith("Set COUCHDB_")


def test_folder_that_is_no_checkout_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["requests", "--before", str(tmp_path)]) == 1
    assert "no checkout" in capsys.readouterr().err
