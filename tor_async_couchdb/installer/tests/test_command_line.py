import io
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.installer.command_line import CommandLineParser, Install, main
from tor_async_couchdb.installer.design_documents import OnProgress
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.protection import signing
from tor_async_couchdb.wire.login import BasicLogin, SessionLogin, TokenLogin
from tor_async_couchdb.wire.secret_file import SecretFile


@pytest.fixture
def parser() -> CommandLineParser:
    return CommandLineParser("Installs fruits.", default_database="fruits")


@pytest.fixture(autouse=True)
def _no_credentials_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUCHDB_USER", raising=False)
    monkeypatch.delenv("COUCHDB_PASSWORD", raising=False)


class Installations(list[dict[str, Any]]):
    """The calls of `install`, which it records and does not make."""

    def __call__(self, host: str, database: str, **options: Any) -> None:
        self.append({"host": host, "database": database} | options)


@pytest.fixture
def installed() -> Installations:
    return Installations()


def _run(
    monkeypatch: pytest.MonkeyPatch, parser: CommandLineParser, install: Install, *arguments: str
) -> int:
    monkeypatch.setattr(sys, "argv", ["installer.py", *arguments])
    return main(parser, "design_docs", "seed_docs", install=install)


def test_defaults_are_those_of_a_local_couchdb(parser: CommandLineParser) -> None:
    assert vars(parser.parse_args([])) == {
        "host": "http://127.0.0.1:5984",
        "database": "fruits",
        "creds": None,
        "couchdb_auth": "basic",
        "delete": False,
        "create": True,
        "createdesign": True,
        "createseed": True,
        "revs_limit": None,
        "seeddocsigner": "",
        "membersonly": False,
        "serviceuser": None,
        "changepassword": False,
        "verify_host_ssl_cert": True,
        "log": logging.ERROR,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--colour=red"], "unrecognized arguments"),
        (["--del=true"], "unrecognized arguments"),
        (["fruits"], "unrecognized arguments"),
        (["--delete"], "--delete: expected one argument"),
        (["--delete=maybe"], "--delete: should be one of true, false, yes, no, 1 or 0"),
        (["--host=http://127.0.0.1:5984/fruits?x=1"], "--host: required format is http[s]://host:port"),
        (["--creds=dave"], "--creds: required format is 'user:password'"),
        (["--log=loud"], "--log: should be one of DEBUG"),
    ],
)
def test_wrong_command_line_is_reported_and_ends_with_2(
    parser: CommandLineParser, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_names_the_variables_of_the_credentials(parser: CommandLineParser) -> None:
    text = " ".join(parser.format_help().split())
    assert "COUCHDB_USER and COUCHDB_PASSWORD" in text
    assert "[default: fruits]" in text


def test_every_option_reaches_the_installation(
    monkeypatch: pytest.MonkeyPatch, parser: CommandLineParser, installed: Installations
) -> None:
    arguments = ["--host=http://[::1]:1/", "--database=pears", "--creds=dave:secret", "--delete=true"]
    arguments += ["--create=false", "--verify_host_ssl_cert=no", "--revs_limit=70"]
    arguments += ["--membersonly=yes", "--serviceuser=pears", "--changepassword=yes"]
    monkeypatch.setenv("COUCHDB_SERVICE_PASSWORD", "s3cret")
    assert _run(monkeypatch, parser, installed, *arguments) == 0
    (call,) = installed
    del call["on_progress"]
    assert call == {
        "host": "http://[::1]:1",
        "database": "pears",
        "credentials": UserPassword("dave", "secret"),
        "verify_host_ssl_cert": False,
        "design_docs_folder": "design_docs",
        "seed_docs_folder": "seed_docs",
        "seed_doc_signer": None,
        "revs_limit": 70,
        "revs_limit_if_new": None,
        "delete": True,
        "create": False,
        "members_only": True,
        "service_user": UserPassword("pears", "s3cret"),
        "change_password": True,
    }


def test_design_and_seed_documents_can_be_left_out(
    monkeypatch: pytest.MonkeyPatch, parser: CommandLineParser, installed: Installations
) -> None:
    assert _run(monkeypatch, parser, installed, "--createdesign=false", "--createseed=false") == 0
    assert (installed[0]["design_docs_folder"], installed[0]["seed_docs_folder"]) == (None, None)


def test_credentials_come_from_the_environment_unless_an_option_gives_them(
    monkeypatch: pytest.MonkeyPatch, parser: CommandLineParser, installed: Installations
) -> None:
    monkeypatch.setenv("COUCHDB_USER", "environment")
    monkeypatch.setenv("COUCHDB_PASSWORD", "secret")
    assert _run(monkeypatch, parser, installed) == 0
    assert _run(monkeypatch, parser, installed, "--creds=option:secret") == 0
    assert [call["credentials"].user for call in installed] == ["environment", "option"]


def test_secrets_may_stand_in_files_and_the_login_is_chosen(
    monkeypatch: pytest.MonkeyPatch, parser: CommandLineParser, installed: Installations, tmp_path: Path
) -> None:
    names = ("COUCHDB_USER", "COUCHDB_PASSWORD", "COUCHDB_JWT")
    for name in names:
        (tmp_path / name).write_text("s3cret\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    for kind in ("basic", "session", "jwt"):
        assert _run(monkeypatch, parser, installed, f"--couchdb-auth={kind}") == 0
    user, password, token = (SecretFile(tmp_path / name) for name in names)
    assert [call["credentials"] for call in installed] == [
        BasicLogin(user, password),
        SessionLogin(user, password),
        TokenLogin(token),
    ]
    assert _run(monkeypatch, parser, installed, "--couchdb-auth=session", "--creds=dave:secret") == 0
    assert installed[-1]["credentials"] == SessionLogin("dave", "secret")


@pytest.mark.parametrize("name", ["COUCHDB_USER", "COUCHDB_PASSWORD"])
def test_user_without_password_or_password_without_user_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
    parser: CommandLineParser,
    installed: Installations,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.setenv(name, "s3cret")
    assert _run(monkeypatch, parser, installed) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{parser.prog}: environment variable {name} is set, but COUCHDB_")
    assert installed == []


@pytest.mark.parametrize(
    ("name", "variables", "words"),
    [
        ("pears", [], "--serviceuser needs the environment variable COUCHDB_SERVICE_PASSWORD_FILE, or"),
        ("pears", ["COUCHDB_SERVICE_PASSWORD_FILE"], "COUCHDB_SERVICE_PASSWORD_FILE: s3cret: No such file"),
        ("pears", ["COUCHDB_SERVICE_PASSWORD", "COUCHDB_SERVICE_PASSWORD_FILE"], "are both set"),
        ("pe:ars", ["COUCHDB_SERVICE_PASSWORD"], "--serviceuser: a username has no colon"),
        ("", ["COUCHDB_SERVICE_PASSWORD"], "--serviceuser: a username has no colon"),
        ("pears\t", ["COUCHDB_SERVICE_PASSWORD"], "--serviceuser: a username must not contain a control"),
        ("pears\udcff", ["COUCHDB_SERVICE_PASSWORD"], "--serviceuser: a username must be UTF-8"),
    ],
)
def test_service_user_without_a_name_or_a_password_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
    parser: CommandLineParser,
    installed: Installations,
    capsys: pytest.CaptureFixture[str],
    name: str,
    variables: list[str],
    words: str,
) -> None:
    for variable in variables:
        monkeypatch.setenv(variable, "s3cret")
    assert _run(monkeypatch, parser, installed, f"--serviceuser={name}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert installed == []


@pytest.mark.parametrize(
    ("error", "line"),
    [(InstallerError("red.json: bad"), "red.json: bad"), (KeyboardInterrupt(), "interrupted")],
)
def test_failure_is_one_line_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch,
    parser: CommandLineParser,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    line: str,
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    assert _run(monkeypatch, parser, fail, "--creds=dave:s3cret") == 1
    assert capsys.readouterr() == ("", f"{parser.prog}: {line}\n")


def test_refused_credentials_are_never_shown(
    monkeypatch: pytest.MonkeyPatch,
    database: AdminDatabase,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = CommandLineParser("Installs fruits.", database.name)
    monkeypatch.setattr(
        sys, "argv", ["installer.py", f"--host={database.server.host}", "--creds=dave:s3cret"]
    )
    with caplog.at_level(logging.DEBUG):
        assert main(parser) == 1
    output = capsys.readouterr()
    assert "401" in output.err
    for text in (output.err, output.out, caplog.text):
        assert "s3cret" not in text
        assert "ZGF2ZTpzM2NyZXQ" not in text  # "dave:s3cret" in base64


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("{}", "holds no Tink key set")])
def test_bad_key_set_is_named_and_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    parser: CommandLineParser,
    installed: Installations,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: str | None,
    reason: str,
) -> None:
    path = tmp_path / "set.json"
    if content is not None:
        path.write_text(content)
    assert _run(monkeypatch, parser, installed, f"--seeddocsigner={path}") == 1
    error = capsys.readouterr().err
    assert str(path) in error
    assert reason in error
    assert error.count("\n") == 1
    assert installed == []


def test_seed_documents_are_signed_with_the_key_set(
    monkeypatch: pytest.MonkeyPatch,
    parser: CommandLineParser,
    installed: Installations,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set.json"
    signing.new_key_set(path)
    assert _run(monkeypatch, parser, installed, f"--seeddocsigner={path}") == 0
    doc = signing.sign(installed[0]["seed_doc_signer"], {"_id": "1", "type": "fruit_v1.0"})
    assert signing.verify(signing.TamperingSigner.from_file(path), doc)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "is_drawn"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_bar_is_drawn_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, parser: CommandLineParser, stream: io.StringIO, is_drawn: bool
) -> None:
    def build(*arguments: object, on_progress: OnProgress, **options: object) -> None:
        on_progress("fruit_by_color", 40, 100)

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    assert _run(monkeypatch, parser, build) == 0
    assert ("fruit_by_color" in stream.getvalue()) is is_drawn
    assert ("40/100" in stream.getvalue()) is is_drawn
