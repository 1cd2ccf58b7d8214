"""CouchDB's sessions: a login at each node, which is renewed before it expires and after it was refused.

https://docs.couchdb.org/en/stable/api/server/authn.html#cookie-authentication
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import yarl

from tor_async_couchdb.calls import Call, Outcome
from tor_async_couchdb.errors import ConnectError, TransportError
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.wire.transport import (
    Authenticator,
    ClosedError,
    Request,
    Response,
    Send,
    UnreachableError,
)

_logger = logging.getLogger(__name__)

_COOKIE = "AuthSession"
_FORM = "application/x-www-form-urlencoded"
_UNAUTHORIZED = 401
# Of a locked account, too: CouchDB 3.4 locks one for five minutes after five wrong passwords.
_REFUSALS = (_UNAUTHORIZED, 403)
# So five logins by the same wrong password take nearly these five minutes.
_REFUSED_FOR_S = 60.0
_PAUSE_AFTER_FAILURE_S = 1.0
_TIMEOUT_S = 10.0
# CouchDB's default. With allow_persistent_cookies=false it does not say how long a session is.
_DEFAULT_LIFE_S = 600.0
_MAX_LIFE_S = 86_400.0
# A session is renewed after this part of its life. CouchDB knows its age to the second.
_RENEWED_AFTER = 0.75
# A login that takes longer says something about the node, and not about the caller's deadline.
_HUNG_AFTER_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Session:
    cookie: str
    renewed_at_s: float
    expires_at_s: float


class _Cookie(NamedTuple):
    name: str
    value: str
    max_age: str


class SessionAuthenticator(Authenticator):
    """Logs in with the form that `form()` gives, and adds the session's cookie to each request.

    Each node has a session of its own, and never more than one login at a time; requests that need it wait
    for it. While a session is renewed, requests go on using the old one until it expires. Credentials that
    CouchDB refused are tried again after a minute, or as soon as they change: CouchDB locks out a user whose
    password is wrong more often.
    """

    def __init__(self, form: Callable[[], bytes], urls: Sequence[yarl.URL], observer: Observer) -> None:
        self._nodes = [_Node(url, form, observer) for url in urls]

    async def exchange(self, request: Request, send: Send) -> Response:
        """See `Authenticator.exchange`."""
        node = self._node_of(request.url)
        session = await node.session(request.deadline_s, send)
        response = await send(request.with_header("Cookie", session.cookie))
        if response.status != _UNAUTHORIZED:
            return response
        # It was not applied, so even a write may be sent again.
        session = await node.next_session(session, request.deadline_s, send)
        return await send(request.with_header("Cookie", session.cookie))

    async def close(self) -> None:
        """See `Authenticator.close`."""
        for node in self._nodes:
            await node.close()

    def _node_of(self, url: yarl.URL) -> "_Node":
        if len(self._nodes) == 1:
            return self._nodes[0]
        text = str(url)
        return next(node for node in self._nodes if text.startswith(node.prefix))


class _Node:
    """The session at one node."""

    def __init__(self, url: yarl.URL, form: Callable[[], bytes], observer: Observer) -> None:
        self.prefix = str(url).rpartition("/")[0] + "/"
        self._url = url.with_name("_session")
        self._form = form
        self._observer = observer
        self._session: _Session | None = None
        self._login: asyncio.Task[_Session] | None = None
        self._not_renewed_before_s = 0.0
        self._refused_form = b""
        self._refusal: Response | None = None
        self._refused_until_s = 0.0

    async def session(self, deadline_s: float, send: Send) -> _Session:
        """A session that has not expired.

        Raises:
            ConnectError: there was none in time.
            UnauthorizedError, ForbiddenError: CouchDB refuses the login.
        """
        session, now_s = self._session, time.monotonic()
        if session is None or now_s >= session.expires_at_s:
            return await self._joined_login(deadline_s, send)
        if now_s >= max(session.renewed_at_s, self._not_renewed_before_s):
            self._log_in_once(send)
        return session

    async def next_session(self, refused: _Session, deadline_s: float, send: Send) -> _Session:
        """A session after one that was refused. Raises as `session` does."""
        if self._session is refused:
            self._session = None
        return await self.session(deadline_s, send)

    async def close(self) -> None:
        """Ends a login that is under way."""
        login, self._login = self._login, None
        if login is not None:
            login.cancel()
            await asyncio.wait([login])

    async def _joined_login(self, deadline_s: float, send: Send) -> _Session:
        started_s = time.monotonic()
        login = self._log_in_once(send)
        try:
            async with asyncio.timeout(deadline_s - started_s):
                # A caller that leaves must not end the login of the others.
                return await asyncio.shield(login)
        except asyncio.CancelledError:
            if login.cancelled():
                raise ClosedError from None
            raise
        except TimeoutError as error:
            waited_s = time.monotonic() - started_s
            error_class = UnreachableError if waited_s >= _HUNG_AFTER_S else ConnectError
            raise error_class(f"POST {self._url} was not answered within {waited_s:.1f} s") from error

    def _log_in_once(self, send: Send) -> asyncio.Task[_Session]:
        """The login that is under way, or else a new one, unless its credentials were refused lately."""
        if self._login is None or self._login.done():
            is_too_early = time.monotonic() < self._refused_until_s
            if self._refusal is not None and is_too_early and self._form() == self._refused_form:
                self._refusal.raise_for_status()
            self._login = asyncio.create_task(self._log_in(send))
            self._login.add_done_callback(self._note_failure)
        return self._login

    def _note_failure(self, login: "asyncio.Task[_Session]") -> None:
        error = None if login.cancelled() else login.exception()
        if error is not None:
            pause_over_s = time.monotonic() + _PAUSE_AFTER_FAILURE_S
            self._not_renewed_before_s = max(pause_over_s, self._refused_until_s)
            _logger.warning("the login to CouchDB failed: %s", error)

    async def _log_in(self, send: Send) -> _Session:
        form, started_s = self._form(), time.monotonic()
        response = await self._post(form, send)
        if response.status == _UNAUTHORIZED and form != (changed := self._form()):
            form = changed
            response = await self._post(form, send)
        if response.status in _REFUSALS:
            self._refused_form, self._refusal = form, response
            self._refused_until_s = time.monotonic() + _REFUSED_FOR_S
            response.raise_for_status()
        self._session = self._session_of(response, started_s)
        return self._session

    async def _post(self, form: bytes, send: Send) -> Response:
        started_s, outcome = time.monotonic(), Outcome(None, "UnreachableError")
        try:
            request = Request("POST", self._url, form, started_s + _TIMEOUT_S)
            response = await send(request.with_header("Content-Type", _FORM))
            outcome = Outcome(response.status, "" if response.status < 400 else str(response.status))
        except TransportError as error:  # of the request that waits for it, nothing was sent
            raise UnreachableError(f"there is no session: {error}") from error
        finally:
            call = Call("POST /_session", "", self._url.host or "", self._url.port or 0)
            self._observer.request_finished(call, outcome, time.monotonic() - started_s)
        return response

    def _session_of(self, response: Response, started_s: float) -> _Session:
        """The session that a login has given.

        Raises:
            UnreachableError: it has given none.
        """
        cookies = map(_cookie, response.set_cookies)
        cookie = next((each for each in cookies if each.name == _COOKIE and _can_be_sent(each.value)), None)
        if response.status != 200 or cookie is None:
            raise UnreachableError(
                f"POST {self._url} was answered with {response.status} and gave no session"
            )
        has_life = cookie.max_age.isascii() and cookie.max_age.isdigit()
        life_s = min(float(cookie.max_age), _MAX_LIFE_S) if has_life else _DEFAULT_LIFE_S
        return _Session(f"{_COOKIE}={cookie.value}", started_s + _RENEWED_AFTER * life_s, started_s + life_s)


def _cookie(header: str) -> _Cookie:
    """The cookie in a Set-Cookie header, as RFC 6265, section 5.2, takes it apart.

    Nothing in it is an error: a gateway may set cookies of its own, and `http.cookies` refuses some.
    """
    pair, *attributes = header.split(";")
    name, _, value = pair.partition("=")
    max_age = ""
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        if key.strip().lower() == "max-age":
            max_age = text.strip()
    return _Cookie(name.strip(), value.strip(), max_age)


def _can_be_sent(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()
