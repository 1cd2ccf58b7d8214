import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.wire.login import BasicLogin, SessionLogin, TokenLogin
from tor_async_service.app.options import Option, parse
from tor_async_service.app.shutdown import ShutdownTimes
from tor_async_service.http.forwarding import TrustedProxies


def test_defaults_are_those_of_every_service() -> None:
    configuration = parse("x", [], {})
    assert (configuration.port, configuration.ip) == (8445, "127.0.0.1")
    assert configuration.database_url == "http://127.0.0.1:5984/tor_async_couchdb_sample"
    assert configuration.deadline_s == 30.0
    assert configuration.shutdown == ShutdownTimes(delay_s=0.0, drain_timeout_s=10.0)
    assert (configuration.log_format, configuration.log_level) == ("text", "info")
    assert configuration.certificate is None
    assert configuration.trusted_proxies == TrustedProxies()


def test_options_of_those_who_operate_a_service_are_accepted() -> None:
    times = ["--shutdown-delay", "0.5", "--drain-timeout", "20"]
    log = ["--log-format", "json", "--log-level", "debug"]
    configuration = parse("x", [*times, *log, "--trusted-proxies", "10.0.0.0/8,::1"], {})
    assert configuration.shutdown == ShutdownTimes(delay_s=0.5, drain_timeout_s=20.0)
    assert (configuration.log_format, configuration.log_level) == ("json", "debug")
    assert configuration.trusted_proxies == TrustedProxies.named("10.0.0.0/8,::1")
    assert configuration.login is None


def test_help_shows_defaults_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse("x", ["--help"], {})
    defaults = re.findall(r"\(default:\s+(.*?)\)\s", capsys.readouterr().out)
    assert {"8445", "10.0", "text"} <= set(defaults)
    assert [default for default in defaults if not re.fullmatch(r"[\w.:/-]+", default)] == []


def test_options_are_accepted() -> None:
    arguments = ["--port", "0", "--ip", "::1", "--database", "https://host/db", "--deadline", "0.5"]
    configuration = parse("x", arguments, {})
    assert (configuration.port, configuration.ip) == (0, "::1")
    assert configuration.database_url == "https://host/db"
    assert configuration.deadline_s == 0.5


def test_clock_is_right_unless_the_environment_sets_it_off() -> None:
    assert parse("x", [], {}).clock_offset_s == 0
    assert parse("x", [], {"CLOCK_OFFSET_S": ""}).clock_offset_s == 0
    assert parse("x", [], {"CLOCK_OFFSET_S": "-3600"}).clock_offset_s == -3600


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "86401"])
def test_wrong_clock_offset_is_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("x", [], {"CLOCK_OFFSET_S": text})
    assert caught.value.code == 2
    assert f"CLOCK_OFFSET_S: {text!r} is not a number of seconds" in capsys.readouterr().err


def test_credentials_come_from_the_environment_and_are_not_shown() -> None:
    configuration = parse("x", [], {"COUCHDB_USER": "u", "COUCHDB_PASSWORD": "s3cr3t"})
    assert configuration.login == BasicLogin("u", "s3cr3t")
    assert "s3cr3t" not in repr(configuration)


@pytest.mark.parametrize("environment", [{}, {"COUCHDB_USER": "", "COUCHDB_PASSWORD": ""}])
def test_credentials_that_are_empty_leave_those_of_the_url(environment: dict[str, str]) -> None:
    configuration = parse("x", [], environment)
    assert configuration.login is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"COUCHDB_USER": "u"}, "COUCHDB_USER is set, but COUCHDB_PASSWORD is not"),
        ({"COUCHDB_PASSWORD": "s3cr3t"}, "COUCHDB_PASSWORD is set, but COUCHDB_USER is not"),
        ({"COUCHDB_USER": "u", "COUCHDB_PASSWORD": ""}, "COUCHDB_USER is set, but COUCHDB_PASSWORD is not"),
        ({"COUCHDB_USER": "a:b", "COUCHDB_PASSWORD": "s3cr3t"}, "COUCHDB_USER: a username must not contain"),
    ],
)
def test_credentials_that_can_not_be_used_are_named_and_not_shown(
    environment: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("x", [], environment)
    (*_, line) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "x"], "argument --port: 'x' is not a port"),
        (["--port", "-1"], "argument --port"),
        (["--port", "65536"], "argument --port: '65536' is not a port"),
        (["--port", "٣"], "argument --port"),
        (["--port", "9" * 5000], "is not a port"),
        (["--deadline", "9" * 5000], "is not a positive number of seconds"),
        (["--database", "http://h/db?x=1"], "argument --database: a database's URL has no query"),
        (
            ["--database", "http://h/db\udcff"],
            "argument --database: a database's URL must consist of printable",
        ),
        (["--database", "http://h/db%00"], "argument --database: a database's URL must consist of printable"),
        (["--database", "http://a:\udcff@h/db"], "argument --database: a database's URL must consist of"),
        (["--database", "http://a:p%00@h/db"], "argument --database: a password must not contain a control"),
        (["--database", "http://h/db#x"], "argument --database: a database's URL has no query"),
        (["--database", "http://h/db,http://i/bd"], "argument --database: all URLs of a database must end"),
        (
            ["--database", "http://h/db,"],
            "argument --database: in the list of a database's URLs one is empty",
        ),
        (["--database", "http://a%3Ab:c@h/db"], "argument --database: a username must not contain a colon"),
        (["--port", ""], "argument --port"),
        (["--deadline", "0"], "argument --deadline: '0' is not a positive number of seconds"),
        (["--deadline", "-1"], "argument --deadline"),
        (["--deadline", "nan"], "argument --deadline"),
        (["--deadline", "inf"], "argument --deadline"),
        (["--deadline", "soon"], "argument --deadline: 'soon'"),
        (["--database", "fruits"], "argument --database: a database's URL is http[s]://host:port/database"),
        (["--database", "http://127.0.0.1:5984"], "argument --database"),
        (["--shutdown-delay", "-1"], "argument --shutdown-delay: '-1' is not a number of seconds"),
        (["--shutdown-delay", "inf"], "argument --shutdown-delay: 'inf' is not a number of seconds"),
        (["--drain-timeout", "0"], "argument --drain-timeout: '0' is not a positive number of seconds"),
        (["--log-format", "xml"], "argument --log-format: invalid choice: 'xml'"),
        (["--log-level", "loud"], "argument --log-level: invalid choice: 'loud'"),
        (["--couchdb-auth", "magic"], "argument --couchdb-auth: invalid choice: 'magic'"),
        (["--couchdb-auth", "session"], "a login by session needs the environment variables COUCHDB_USER"),
        (["--couchdb-auth", "jwt"], "a login by jwt needs the environment variable COUCHDB_JWT_FILE"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--port"], "argument --port: expected one argument"),
    ],
)
def test_wrong_option_is_named_and_ends_the_process_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("x", arguments, {})
    assert caught.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_login_is_chosen_and_its_secrets_may_stand_in_files(tmp_path: Path) -> None:
    for name in ("COUCHDB_USER", "COUCHDB_PASSWORD", "COUCHDB_JWT"):
        (tmp_path / name).write_text(f"{name}\n")
    environment = {f"{path.name}_FILE": str(path) for path in tmp_path.iterdir()}
    session = parse("x", ["--couchdb-auth", "session"], environment).login
    assert isinstance(session, SessionLogin)
    assert session.form() == b"name=COUCHDB_USER&password=COUCHDB_PASSWORD"
    token = parse("x", ["--couchdb-auth", "jwt"], environment).login
    assert isinstance(token, TokenLogin)
    assert token.authorization() == "Bearer COUCHDB_JWT"
    of_url = ["--database", "http://u:p@h/db", "--couchdb-auth", "session"]
    assert parse("x", of_url, {}).login == SessionLogin("u", "p")


def test_secret_that_is_given_twice_ends_the_process_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("x", [], {"COUCHDB_USER": "u", "COUCHDB_PASSWORD": "s3cr3t", "COUCHDB_PASSWORD_FILE": "/file"})
    (*_, line) = capsys.readouterr().err.splitlines()
    assert "COUCHDB_PASSWORD and COUCHDB_PASSWORD_FILE are both set" in line
    assert "s3cr3t" not in line


def test_database_may_be_named_on_each_node_of_a_cluster() -> None:
    urls = "http://one:5984/db,http://other:5984/db"
    assert parse("x", ["--database", urls], {}).database_url == urls


@pytest.mark.parametrize(
    "url", ["ftp://u:s3cr3t@host/db", "http://u:s3cr3t@h/db,http://i/db", "http://u:x,s3cr3t@h/db"]
)
def test_password_in_a_wrong_url_is_not_repeated(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("x", ["--database", url], {})
    assert "s3cr3t" not in capsys.readouterr().err


def test_option_of_a_services_own_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    options = [Option("master", "NAME", "the master's name")]
    assert parse("x", ["--master", "east"], {}, own_options=options).own == {"master": "east"}
    with pytest.raises(SystemExit, match="2"):
        parse("x", [], {}, own_options=options)
    assert "--master" in capsys.readouterr().err


def test_option_of_a_services_own_may_come_from_the_environment() -> None:
    options = [Option("size", "NUMBER", "how large", variable="SIZE", read=int)]
    assert parse("x", [], {"SIZE": "7"}, own_options=options).own == {"size": 7}
    assert parse("x", ["--size", "8"], {"SIZE": "7"}, own_options=options).own == {"size": 8}


def test_optional_option_is_none_if_it_is_not_given() -> None:
    options = [Option("size", "NUMBER", "how large", variable="SIZE", is_optional=True)]
    assert parse("x", [], {}, own_options=options).own == {"size": None}


def test_value_from_the_environment_is_shown_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    options = [Option("size", "NUMBER", "how large", variable="SIZE")]
    assert "s3cr3t" not in repr(parse("x", [], {"SIZE": "s3cr3t"}, own_options=options))
    with pytest.raises(SystemExit):
        parse("x", ["--help"], {"SIZE": "s3cr3t"}, own_options=options)
    assert "s3cr3t" not in capsys.readouterr().out


def _unreadable(text: str) -> str:
    return Path(text).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (_unreadable, "argument --size: /absent/file: No such file or directory"),
        (Database, "argument --size: a database's URL is http[s]://host:port/database"),
    ],
)
def test_option_that_can_t_be_read_says_why(
    read: Callable[[str], Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [Option("size", "NUMBER", "how large", read=read)]
    with pytest.raises(SystemExit, match="2"):
        parse("x", ["--size", "/absent/file"], {}, own_options=options)
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_option_without_the_one_it_needs_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = (
        Option("key", "K", "a key", is_optional=True),
        Option("lock", "L", "a lock", is_optional=True, needs="key"),
    )
    assert parse("x", [], {}, own_options=options).own == {"key": None, "lock": None}
    assert parse("x", ["--lock=l", "--key=k"], {}, own_options=options).own == {"key": "k", "lock": "l"}
    with pytest.raises(SystemExit, match="2"):
        parse("x", ["--lock=l"], {}, own_options=options)
    assert "argument --lock: needs --key too" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_events_are_for_this_machine(ip: str) -> None:
    assert parse("A service.", ["--events", "--ip", ip], {}).has_events
    assert not parse("A service.", ["--ip", ip], {}).has_events


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "192.168.0.7", "fruits.example"])  # noqa: S104 - is refused
def test_events_are_refused_on_other_addresses(ip: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("A service.", ["--events", "--ip", ip], {})
    assert f"--events: {ip} is not a loopback address" in capsys.readouterr().err
