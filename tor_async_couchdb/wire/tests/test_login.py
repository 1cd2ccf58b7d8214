import base64
from collections.abc import Callable
from pathlib import Path

import pytest
import yarl
from aiohttp import web

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import UnauthorizedError
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, answered
from tor_async_couchdb.wire.login import (
    BasicLogin,
    SessionLogin,
    TokenLogin,
    check_password,
    login_of_environment,
    login_of_url,
    secret_of_environment,
)
from tor_async_couchdb.wire.secret_file import SecretFile

NAMES = ("COUCHDB_USER", "COUCHDB_PASSWORD", "COUCHDB_JWT")


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    """Makes a file with a text; returns its path."""

    def make(text: str) -> str:
        path = tmp_path / str(len([*tmp_path.iterdir()]))
        path.write_text(text)
        return str(path)

    return make


def replace(path: str, text: str) -> None:
    Path(path).write_text(text)


def authorizations(proxy: FaultProxy) -> list[str | None]:
    return [request.incoming.headers.get("Authorization") for request in proxy.requests]


def test_basic_login_is_that_of_the_environment_or_else_of_the_url(file: Callable[[str], str]) -> None:
    in_url = login_of_url(yarl.URL("http://u:p@host/db"))
    assert in_url == BasicLogin("u", "p")
    assert login_of_environment("basic", {}, in_url) == in_url
    assert login_of_environment("basic", {}) is None
    texts = {"COUCHDB_USER": "a", "COUCHDB_PASSWORD": "b"}
    assert login_of_environment("basic", texts, in_url) == BasicLogin("a", "b")
    user, password = file("a\n"), file("b\n")
    files = {"COUCHDB_USER_FILE": user, "COUCHDB_PASSWORD_FILE": password}
    login = login_of_environment("basic", files)
    assert isinstance(login, BasicLogin)
    assert login == BasicLogin(SecretFile(user), SecretFile(password))
    assert login.authorization() == BasicLogin("a", "b").authorization()


def test_session_takes_the_same_secrets(file: Callable[[str], str]) -> None:
    password = file("p&=ü")
    environment = {"COUCHDB_USER": "u", "COUCHDB_PASSWORD_FILE": password}
    login = login_of_environment("session", environment)
    assert isinstance(login, SessionLogin)
    assert login == SessionLogin("u", SecretFile(password))
    assert login.form() == b"name=u&password=p%26%3D%C3%BC"
    assert login_of_environment("session", {}, BasicLogin("v", "q")) == SessionLogin("v", "q")


def test_token_is_that_of_the_environment(file: Callable[[str], str]) -> None:
    token = file("eyJ.x.y\n")
    login = login_of_environment("jwt", {"COUCHDB_JWT_FILE": token, "COUCHDB_USER": "u"})
    assert isinstance(login, TokenLogin)
    assert login == TokenLogin(SecretFile(token))
    assert login.authorization() == "Bearer eyJ.x.y"


@pytest.mark.parametrize("name", NAMES)
def test_secret_that_is_given_twice_is_an_error_that_names_both(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} and {name}_FILE are both set"):
        secret_of_environment(name, {name: "s3cr3t", f"{name}_FILE": "/file"}, check_password)


@pytest.mark.parametrize("name", NAMES)
def test_file_that_can_t_be_used_is_named_with_its_variable(name: str, file: Callable[[str], str]) -> None:
    for path, words in (("/absent/file", "No such file"), (file(""), "it is empty")):
        with pytest.raises(ValueError, match=f"{name}_FILE: {path}: {words}"):
            secret_of_environment(name, {f"{name}_FILE": path}, check_password)


def test_empty_variables_are_not_set(file: Callable[[str], str]) -> None:
    path = file("s3cr3t")
    assert secret_of_environment("X", {"X": "", "X_FILE": ""}, check_password) is None
    assert secret_of_environment("X", {"X": "", "X_FILE": path}, check_password) == SecretFile(path)
    assert secret_of_environment("X", {"X": "s3cr3t", "X_FILE": ""}, check_password) == "s3cr3t"


@pytest.mark.parametrize(
    ("kind", "environment", "words"),
    [
        ("basic", {"COUCHDB_USER": "u"}, "COUCHDB_USER is set, but COUCHDB_PASSWORD is not"),
        ("basic", {"COUCHDB_PASSWORD": "s3cr3t"}, "COUCHDB_PASSWORD is set, but COUCHDB_USER is not"),
        ("session", {"COUCHDB_USER": "a:b", "COUCHDB_PASSWORD": "s3cr3t"}, "must not contain a colon"),
        ("session", {"COUCHDB_JWT": "s3cr3t"}, "by session needs the environment variables COUCHDB_USER"),
        ("jwt", {"COUCHDB_USER": "u", "COUCHDB_PASSWORD": "s3cr3t"}, "by jwt needs .* COUCHDB_JWT_FILE"),
    ],
)
def test_missing_or_wrong_secrets_are_named_and_not_shown(
    kind: str, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        login_of_environment(kind, environment)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "login", [BasicLogin("u", "s3cr3t"), SessionLogin("u", "s3cr3t"), TokenLogin("s3cr3t")]
)
def test_secrets_are_in_no_repr(login: object) -> None:
    assert "s3cr3t" not in repr(login)


# `\udcff` is what Python makes of the byte FF in the environment.
UNUSABLE = [
    ("COUCHDB_USER", "s3cr3t:b", "must not contain a colon"),
    ("COUCHDB_USER", "s3cr3t\udcff", "must be UTF-8"),
    ("COUCHDB_USER", "s3cr3t\t", "must not contain a control character"),
    ("COUCHDB_PASSWORD", "s3cr3t\ud800", "must be UTF-8"),
    ("COUCHDB_PASSWORD", "s3cr3t\r", "must not contain a control character"),
    ("COUCHDB_PASSWORD", "s3cr3t\x85", "must not contain a control character"),
    ("COUCHDB_JWT", "s3cr3t\nX-Admin: yes", "must consist of printable ASCII"),
    ("COUCHDB_JWT", "s3cr3t\x7f", "must consist of printable ASCII"),
    ("COUCHDB_JWT", "s3cr3té", "must consist of printable ASCII"),
    ("COUCHDB_JWT", "s3cr3t漢", "must consist of printable ASCII"),
    ("COUCHDB_JWT", "s3cr3t\udcff", "must consist of printable ASCII"),
]


@pytest.mark.parametrize(("name", "text", "words"), UNUSABLE)
@pytest.mark.parametrize("kind", ["basic", "session", "jwt"])
def test_unusable_secret_is_an_error_that_names_its_variable_and_does_not_show_it(
    kind: str, name: str, text: str, words: str
) -> None:
    environment = {"COUCHDB_USER": "u", "COUCHDB_PASSWORD": "p", "COUCHDB_JWT": "t"} | {name: text}
    if (kind == "jwt") != (name == "COUCHDB_JWT"):
        assert login_of_environment(kind, environment) is not None
        return
    with pytest.raises(ValueError, match=f"^environment variable {name}: .* {words}") as caught:
        login_of_environment(kind, environment)
    assert "s3cr3t" not in str(caught.value)


IN_FILES = [each for each in UNUSABLE if each[1].isprintable() or each[1][-1] in "\t\x7f"]


@pytest.mark.parametrize(("name", "text", "words"), IN_FILES)
def test_file_with_an_unusable_secret_is_named_and_not_shown(
    name: str, text: str, words: str, file: Callable[[str], str]
) -> None:
    environment = {f"{each}_FILE": file("x") for each in NAMES} | {f"{name}_FILE": (path := file(text))}
    kind = "jwt" if name == "COUCHDB_JWT" else "basic"
    with pytest.raises(ValueError, match=f"^environment variable {name}_FILE: {path}: .* {words}") as caught:
        login_of_environment(kind, environment)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(("name", "text", "words"), IN_FILES)
def test_last_good_secret_stays_in_use_after_a_file_was_replaced_by_an_unusable_one(
    name: str, text: str, words: str, file: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    paths = {each: file("first") for each in NAMES}
    user, password, token = (SecretFile(path) for path in paths.values())
    basic, session, jwt = BasicLogin(user, password), SessionLogin(user, password), TokenLogin(token)
    before = basic.authorization(), session.form(), jwt.authorization()
    replace(paths[name], text)
    for _ in range(2):
        assert (basic.authorization(), session.form(), jwt.authorization()) == before
    logins = 1 if name == "COUCHDB_JWT" else 2
    assert len([each for each in caplog.records if words in each.message]) == logins  # one for each login
    assert "s3cr3t" not in caplog.text
    replace(paths[name], "second")
    assert (basic.authorization(), session.form(), jwt.authorization()) != before


@pytest.mark.parametrize(
    ("user", "password"), [("a:b", "p"), ("a\n", "p"), ("\udcff", "p"), ("a", "\x00"), ("a", "\ud800")]
)
def test_login_refuses_credentials_that_it_could_not_send(user: str, password: str) -> None:
    for make in (BasicLogin, SessionLogin):
        with pytest.raises(ValueError, match="must"):
            make(user, password)
    with pytest.raises(ValueError, match="must"):
        Database("http://h/db", username=user, password=password)


@pytest.mark.parametrize("url", ["http://a%0Ab:p@h/db", "http://a%3Ab:p@h/db", "http://a:p%00@h/db"])
def test_url_with_credentials_that_can_t_be_sent_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must not contain a"):
        Database(url)


def test_password_may_hold_any_printable_characters() -> None:
    login = BasicLogin("jürgen", "пароль:漢 \u00a0")
    credentials = login.authorization().removeprefix("Basic ")
    assert base64.b64decode(credentials).decode() == "jürgen:пароль:漢 \u00a0"


def test_database_takes_either_a_login_or_a_user() -> None:
    with pytest.raises(ValueError, match="give either a login, or a username and a password"):
        Database("http://h/db", username="u", password="p", login=BasicLogin("u", "p"))


async def test_replaced_password_is_used_without_a_restart(
    proxy: FaultProxy, couchdb: CouchDBServer, file: Callable[[str], str]
) -> None:
    password = file("wrong")
    login = BasicLogin(couchdb.username, SecretFile(password))
    async with Database(proxy.url, login=login) as database:
        with pytest.raises(UnauthorizedError):
            await database.information()
        replace(password, couchdb.password)
        assert (await database.information())["db_name"] == database.name


async def test_refused_request_is_sent_again_only_if_its_token_was_replaced_meanwhile(
    proxy: FaultProxy, file: Callable[[str], str]
) -> None:
    token = file("old")

    async def refuse_the_old(request: Request) -> web.StreamResponse:
        is_old = request.incoming.headers["Authorization"] == "Bearer old"
        if is_old:
            replace(token, "the new one")
        return await answered(401 if is_old else 200, '{"db_name": "db", "doc_count": 0}')(request)

    proxy.inject(refuse_the_old, times=2)
    proxy.inject(answered(401))
    async with Database(proxy.url, login=TokenLogin(SecretFile(token))) as database:
        assert (await database.information())["db_name"] == "db"
        assert authorizations(proxy) == ["Bearer old", "Bearer the new one"]
        with pytest.raises(UnauthorizedError):
            await database.information()
        assert authorizations(proxy)[2:] == ["Bearer the new one"]
