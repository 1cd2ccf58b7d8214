import base64
import sys
from pathlib import Path

import pytest

from couch_named_python.deploy import upload_command
from couch_named_python.tests.couchdb_double import CouchDBDouble
from couch_named_python.tests.driver import FUNCTIONS as F


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUCHDB_USER", raising=False)
    monkeypatch.delenv("COUCHDB_PASSWORD", raising=False)


@pytest.fixture
def design_file(tmp_path: Path) -> Path:
    path = tmp_path / "design.yml"
    path.write_text(f"a: {{views: {{v: {F}.townmap}}}}\nb: {{filters: {{f: {F}.filter_good}}}}\n")
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    """Run cnp-upload and return its exit status, or the message with which it ended."""
    monkeypatch.setattr(sys, "argv", ["cnp-upload", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        upload_command.main()
    return caught.value.code


@pytest.mark.parametrize("options", [[], ["--wait"]])
def test_design_documents_are_uploaded_once(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch, design_file: Path, options: list[str]
) -> None:
    assert run(monkeypatch, *options, couchdb.url, "fruits", design_file) == 0
    assert couchdb.documents["_design/a"]["views"] == {"v": {"map": f"{F}.townmap|123"}}
    assert couchdb.documents["_design/b"]["filters"] == {"f": f"{F}.filter_good"}
    couchdb.requests.clear()
    assert run(monkeypatch, *options, couchdb.url, "fruits", design_file) == 0
    assert couchdb.requests == ["GET _design/a", "GET _design/b"]


def test_only_what_changed_is_uploaded(
    couchdb: CouchDBDouble,
    monkeypatch: pytest.MonkeyPatch,
    design_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(monkeypatch, couchdb.url, "fruits", design_file)
    design_file.write_text(design_file.read_text().replace("townmap", "emit_once"))
    capsys.readouterr()
    assert run(monkeypatch, couchdb.url, "fruits", design_file) == 0
    assert [document["_rev"] for document in couchdb.documents.values()] == ["2-a", "1-a"]
    shown = capsys.readouterr().out
    assert f'-      "map": "{F}.townmap|123"\n+      "map": "{F}.emit_once"\n' in shown
    assert "_design/b: up to date\n" in shown


@pytest.mark.parametrize(("option", "status"), [("--dry-run", 0), ("--check", 1)])
def test_a_dry_run_and_a_check_upload_nothing(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch, design_file: Path, option: str, status: int
) -> None:
    assert run(monkeypatch, option, couchdb.url, "fruits", design_file) == status
    assert couchdb.documents == {}
    run(monkeypatch, couchdb.url, "fruits", design_file)
    assert run(monkeypatch, option, couchdb.url, "fruits", design_file) == 0


def test_nothing_is_uploaded_if_anything_is_wrong(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch, design_file: Path
) -> None:
    design_file.write_text(design_file.read_text() + "c: {filters: {f: a.missing.function}}")
    message = run(monkeypatch, couchdb.url, "fruits", design_file)
    assert isinstance(message, str)
    assert message.startswith("cnp-upload: c: filters: 'f': cannot import 'a.missing'")
    assert "\n" not in message
    assert couchdb.requests == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x", "the URL is not of the form http"),
        ("nonsense", "the URL is not of the form http"),
        ("http://127.0.0.1:1/?a=b", "the URL is not of the form http"),
        ("http://127.0.0.1:1", "no answer from"),
    ],
)
def test_a_wrong_url_and_a_server_that_is_down_are_reported(
    monkeypatch: pytest.MonkeyPatch, design_file: Path, url: str, message: str
) -> None:
    assert message in str(run(monkeypatch, url, "fruits", design_file))


def test_credentials_come_from_the_environment_or_the_url(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch, design_file: Path
) -> None:
    run(monkeypatch, "--check", couchdb.url, "fruits", design_file)
    assert couchdb.authorizations == {None}
    couchdb.authorizations.clear()
    monkeypatch.setenv("COUCHDB_USER", "ann")
    monkeypatch.setenv("COUCHDB_PASSWORD", "secret")
    run(monkeypatch, "--check", couchdb.url, "fruits", design_file)
    assert couchdb.authorizations == {"Basic " + base64.b64encode(b"ann:secret").decode()}
    couchdb.authorizations.clear()
    run(monkeypatch, "--check", couchdb.url.replace("//", "//bob:a%40b@"), "fruits", design_file)
    assert couchdb.authorizations == {"Basic " + base64.b64encode(b"bob:a@b").decode()}


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        ("ann", "", "set both COUCHDB_USER and COUCHDB_PASSWORD"),
        ("", "secret", "set both COUCHDB_USER and COUCHDB_PASSWORD"),
        ("a:b", "secret", "no colon"),
        ("ann\udcff", "secret", "COUCHDB_USER: it must be UTF-8"),
        ("ann", "secret\x85", "COUCHDB_PASSWORD: it must be UTF-8, without control characters"),
    ],
)
def test_credentials_that_cannot_be_meant_are_refused(
    couchdb: CouchDBDouble,
    monkeypatch: pytest.MonkeyPatch,
    design_file: Path,
    user: str,
    password: str,
    message: str,
) -> None:
    monkeypatch.setenv("COUCHDB_USER", user)
    monkeypatch.setenv("COUCHDB_PASSWORD", password)
    assert message in str(run(monkeypatch, "--check", couchdb.url, "fruits", design_file))
    assert couchdb.requests == []


def test_empty_credentials_are_none(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch, design_file: Path
) -> None:
    monkeypatch.setenv("COUCHDB_USER", "")
    monkeypatch.setenv("COUCHDB_PASSWORD", "")
    run(monkeypatch, "--check", couchdb.url, "fruits", design_file)
    run(monkeypatch, "--check", couchdb.url.replace("//", "//bob:a@"), "fruits", design_file)
    assert couchdb.authorizations == {None, "Basic " + base64.b64encode(b"bob:a").decode()}


def test_a_password_in_the_url_is_never_shown(monkeypatch: pytest.MonkeyPatch, design_file: Path) -> None:
    message = run(monkeypatch, "http://bob:secret@127.0.0.1:1", "fruits", design_file)
    assert "no answer from http://127.0.0.1:1/fruits" in str(message)
    assert "secret" not in str(message)


def test_the_language_and_fingerprints_are_options(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch, design_file: Path
) -> None:
    run(monkeypatch, "--view-server", "python3", "--fingerprint", couchdb.url, "fruits", design_file)
    assert couchdb.documents["_design/a"]["language"] == "python3"
    assert f"{F}.townmap|source-" in couchdb.documents["_design/a"]["views"]["v"]["map"]


def test_wrong_usage_is_exit_status_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "http://127.0.0.1") == 2
