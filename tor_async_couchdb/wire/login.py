"""How requests to CouchDB say who makes them: with a user's password, in a session, or with a token.

https://docs.couchdb.org/en/stable/api/server/authn.html
"""

import abc
import dataclasses
import re
import urllib.parse
from collections.abc import Mapping, Sequence

import aiohttp
import yarl

from tor_async_couchdb.model.canonical import HALF_A_SURROGATE_PAIR
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.wire.secret_file import Check, SecretFile
from tor_async_couchdb.wire.sessions import SessionAuthenticator
from tor_async_couchdb.wire.transport import Authenticator, HeaderAuthenticator

Secret = str | SecretFile

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_user(text: str) -> None:
    """Checks that the text can be the user of a login, by RFC 7617, section 2.

    Raises:
        ValueError: it can't. The message does not show it.
    """
    if ":" in text:
        raise ValueError("a username must not contain a colon")
    _check_text(text, "a username")


def check_password(text: str) -> None:
    """Checks that the text can be the password of a login. Raises as `check_user` does."""
    _check_text(text, "a password")


def check_token(text: str) -> None:
    """Checks that the text can be a token in a header. Raises as `check_user` does."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError("a token must consist of printable ASCII characters")


def _check_text(text: str, what: str) -> None:
    if HALF_A_SURROGATE_PAIR.search(text):
        raise ValueError(f"{what} must be UTF-8")
    if _CONTROL_CHARACTER.search(text):
        raise ValueError(f"{what} must not contain a control character")


class Login(abc.ABC):
    """How requests say who makes them. Secrets in files may be replaced at any time."""

    @abc.abstractmethod
    def authenticator(self, urls: Sequence[yarl.URL], observer: Observer) -> Authenticator:
        """What does so for the requests of one database, which has these URLs on the nodes of its cluster."""


class HeaderLogin(Login):
    """A login whose secret goes with each request."""

    @abc.abstractmethod
    def authorization(self) -> str:
        """The value of the header `Authorization`."""

    def authenticator(self, urls: Sequence[yarl.URL], observer: Observer) -> Authenticator:
        """See `Login.authenticator`."""
        return HeaderAuthenticator(self.authorization)


@dataclasses.dataclass(frozen=True)
class BasicLogin(HeaderLogin):
    """HTTP's basic authentication: the password goes with each request.

    Raises:
        ValueError: the user or the password can't be used. The message does not show the secret.
    """

    user: Secret
    password: Secret = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        _check_all(self, user=check_user, password=check_password)

    def authorization(self) -> str:
        """See `HeaderLogin.authorization`."""
        return aiohttp.encode_basic_auth(text_of(self.user), text_of(self.password))


@dataclasses.dataclass(frozen=True)
class TokenLogin(HeaderLogin):
    """A JSON Web Token, which another server issues and CouchDB verifies.

    https://docs.couchdb.org/en/stable/api/server/authn.html#jwt-authentication

    Raises:
        ValueError: the token can't be used. The message does not show it.
    """

    token: Secret = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        _check_all(self, token=check_token)

    def authorization(self) -> str:
        """See `HeaderLogin.authorization`."""
        return f"Bearer {text_of(self.token)}"


@dataclasses.dataclass(frozen=True)
class SessionLogin(Login):
    """CouchDB's sessions: the password is sent once in a while, and a cookie goes with each request.

    Raises:
        ValueError: the user or the password can't be used. The message does not show the secret.
    """

    user: Secret
    password: Secret = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        _check_all(self, user=check_user, password=check_password)

    def form(self) -> bytes:
        """The body of a login, as a form."""
        fields = {"name": text_of(self.user), "password": text_of(self.password)}
        return urllib.parse.urlencode(fields).encode()

    def authenticator(self, urls: Sequence[yarl.URL], observer: Observer) -> Authenticator:
        """See `Login.authenticator`."""
        return SessionAuthenticator(self.form, urls, observer)


def _check_all(login: Login, **checks: Check) -> None:
    """Checks the secrets of a login; from now on files are only replaced by what passes the check, too."""
    for name, check in checks.items():
        secret: Secret = getattr(login, name)
        if isinstance(secret, str):
            check(secret)
        else:
            object.__setattr__(login, name, secret.checked_by(check))


def text_of(secret: Secret) -> str:
    """The secret as it is now."""
    return secret if isinstance(secret, str) else secret.current()


def login_of_url(url: yarl.URL) -> BasicLogin | None:
    """The login by the user and the password in a URL; None if it has neither.

    Raises:
        ValueError: the user or the password can't be used.
    """
    if url.user is None and url.password is None:
        return None
    return BasicLogin(url.user or "", url.password or "")


KINDS = ("basic", "session", "jwt")


def login_of_environment(
    kind: str, environment: Mapping[str, str], default: BasicLogin | None = None
) -> Login | None:
    """The login of one of the `KINDS` by the secrets of COUCHDB_USER, COUCHDB_PASSWORD and COUCHDB_JWT.

    The name of each variable may end in _FILE; then its value is the path of a file with the secret. Without
    a user there, it is that of the `default`. A `basic` login may be missing: then it is None.

    Raises:
        ValueError: a secret is missing, is given twice, or can't be used. The message names the variable and
            shows no secret.
    """
    if kind == "jwt":
        token = secret_of_environment("COUCHDB_JWT", environment, check_token)
        if token is None:
            raise ValueError("a login by jwt needs the environment variable COUCHDB_JWT_FILE, or COUCHDB_JWT")
        return TokenLogin(token)
    login = _user_and_password(environment) or default
    if kind == "basic":
        return login
    if login is None:
        raise ValueError(
            "a login by session needs the environment variables COUCHDB_USER and COUCHDB_PASSWORD,"
            " or COUCHDB_USER_FILE and COUCHDB_PASSWORD_FILE"
        )
    return SessionLogin(login.user, login.password)


def _user_and_password(environment: Mapping[str, str]) -> BasicLogin | None:
    user = secret_of_environment("COUCHDB_USER", environment, check_user)
    password = secret_of_environment("COUCHDB_PASSWORD", environment, check_password)
    if user is None and password is None:
        return None
    if user is None:
        raise ValueError(
            "environment variable COUCHDB_PASSWORD is set, but COUCHDB_USER is not (each may end in _FILE)"
        )
    if password is None:
        raise ValueError(
            "environment variable COUCHDB_USER is set, but COUCHDB_PASSWORD is not (each may end in _FILE)"
        )
    return BasicLogin(user, password)


def secret_of_environment(name: str, environment: Mapping[str, str], check: Check) -> Secret | None:
    """The secret in the variable `name`, or in the file that the variable `name`_FILE names.

    None if neither is set. An empty variable is not set: Compose files set variables to "".

    Raises:
        ValueError: both are set, the file can't be used, or the secret fails the `check`.
    """
    text, path = environment.get(name), environment.get(f"{name}_FILE")
    if text and path:
        raise ValueError(f"environment variables {name} and {name}_FILE are both set: which of them counts?")
    try:
        if path:
            return SecretFile(path, check)
        check(text or "")
    except ValueError as error:
        raise ValueError(f"environment variable {name}{'_FILE' if path else ''}: {error}") from None
    return text or None
