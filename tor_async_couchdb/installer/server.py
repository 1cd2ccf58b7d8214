"""The installer's way to speak to CouchDB: synchronous, one request at a time, each with a timeout."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import requests
from requests.auth import HTTPBasicAuth

from tor_async_couchdb.clparserutil import UserPassword
from tor_async_couchdb.errors import ResponseError, TransportError

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0  # creating a database on a busy cluster takes seconds
_SUCCESSES = (200, 201, 202)  # 202: accepted, though not yet by a majority of a cluster's nodes


class Server:
    """One CouchDB; a context manager that owns its connection."""

    def __init__(
        self, host: str, *, credentials: UserPassword | None = None, verify_host_ssl_cert: bool = True
    ) -> None:
        self.host = host.rstrip("/")
        self._verify_host_ssl_cert = verify_host_ssl_cert
        self._session = requests.Session()
        # As in the services, neither a proxy of the environment nor a .netrc comes between.
        self._session.trust_env = False
        if credentials is not None:
            # Text would be sent as Latin-1; CouchDB reads UTF-8.
            self._session.auth = HTTPBasicAuth(credentials.user.encode(), credentials.password.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    def check(self) -> None:
        """Makes sure that a CouchDB answers and takes the credentials.

        Raises:
            CouchDBError: nothing answers, something else does, or the credentials are refused.
        """
        welcome = self.ask("GET", "")
        if not isinstance(welcome, dict) or "couchdb" not in welcome:
            raise TransportError("something that is not CouchDB answers")

    def ask(
        self,
        method: str,
        *path: str,
        query: dict[str, str] | None = None,
        body: object = None,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> Any:
        """The decoded JSON of CouchDB's answer. `path` holds the path's segments, not yet quoted.

        Raises:
            TransportError: no connection, no answer within `read_timeout_s` seconds, or none that is JSON.
            ResponseError: the answer's status is not 200, 201 or 202.
        """
        try:
            response = self._session.request(
                method,
                "/".join([self.host, *(quote(segment, safe="") for segment in path)]),
                params=query,
                json=body,
                timeout=(_CONNECT_TIMEOUT_S, read_timeout_s),
                allow_redirects=False,
                verify=self._verify_host_ssl_cert,
            )
        except requests.RequestException as error:
            raise _translated(error, read_timeout_s) from error
        return _decoded(response)


def _translated(error: requests.RequestException, read_timeout_s: float) -> TransportError:
    match error:
        case requests.ReadTimeout():
            return TransportError(f"no answer within {read_timeout_s:g} s")
        case requests.exceptions.SSLError():
            return TransportError("no TLS there, or a certificate that is not trusted")
        case requests.ConnectionError():
            return TransportError("can't be reached: is CouchDB running there?")
        case _:
            return TransportError(f"can't be asked: {type(error).__name__}")


def _decoded(response: requests.Response) -> Any:
    try:
        answer = response.json()
    except requests.JSONDecodeError as error:
        raise TransportError(f"something that is not CouchDB answers with {response.status_code}") from error
    if response.status_code in _SUCCESSES:
        return answer
    words = answer if isinstance(answer, dict) else {}
    raise ResponseError.for_status(
        response.status_code,
        str(words.get("error", "error")),
        one_line(words.get("reason", "no reason given")),
        method=str(response.request.method),
        path=response.request.path_url,
    )


def one_line(reason: object) -> str:
    """CouchDB's reason without line breaks: of a function that doesn't compile it is a stack trace."""
    return " ".join(str(reason).split())
