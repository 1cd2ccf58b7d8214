"""Requests to a cluster: its endpoints, retries, authentication, and the translation of answers to errors."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from tor_async_etcd.errors import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    OUT_OF_RANGE,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Compacted,
    Error,
    EtcdError,
    NotSentError,
    OutcomeUnknownError,
    TransportError,
)
from tor_async_etcd.wire.backoff import pauses
from tor_async_etcd.wire.connection import Reply
from tor_async_etcd.wire.encoding import AUTHENTICATE, STATUS, Call, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tor_async_etcd.results import Json
    from tor_async_etcd.wire.transport import Stream, Transport

_logger = logging.getLogger(__name__)

# The gRPC codes that leave open whether the member applied the request: cancelled, unknown, deadline
# exceeded, internal, unavailable.
_UNDECIDED = {1, 2, 4, 13, UNAVAILABLE}
# The HTTP statuses that leave open whether a proxy passed the request on: timeout, client closed request.
_LOST_STATUSES = {408, 499}
# Messages of etcd.
_NO_LEADER = "etcdserver: no leader"  # a refusal: the request was not applied
_STALE_TOKEN = "etcdserver: revision of auth store is old"  # noqa: S105 - no password
_NO_TOKEN = "etcdserver: user name is empty"  # noqa: S105 - no password
_AUTHENTICATION_IS_OFF = "etcdserver: authentication is not enabled"
# How a watch names the error that ended it: "rpc error: code = PermissionDenied desc = etcdserver: ...".
_CANCEL_REASON = re.compile(r"rpc error: code = (\w+) desc = (.*)", re.DOTALL)
_CANCEL_CODES = {
    "InvalidArgument": INVALID_ARGUMENT,
    "PermissionDenied": PERMISSION_DENIED,
    "Unauthenticated": UNAUTHENTICATED,
}
_SILENCE_S = 5.0
_PROBE_TIMEOUT_S = 2.0

_to_json = json.JSONEncoder(check_circular=False).encode
_from_json = json.JSONDecoder().decode


class Gateway:
    """The JSON gateways of one cluster. It uses one endpoint until that fails, then the next."""

    def __init__(
        self,
        transports: Sequence[Transport],
        credentials: tuple[str, str] | None,
        timeout_s: float | Callable[[], float],
        require_leader: bool,
    ) -> None:
        """Take a transport for each endpoint, and how long a call may take; see `Client`."""
        self._default_timeout_s = timeout_s
        self._transports = transports
        self._current = 0
        self._credentials = credentials
        self._token: str | None = None  # "" while authentication is off
        self._renewal = asyncio.Lock()
        # With this header a member without a leader refuses a request at once instead of letting it wait.
        self._headers = {"Grpc-Metadata-hasleader": "true"} if require_leader else {}
        self._fails = False
        self._cluster_id: object = None
        self._newest_revision = 0

    @property
    def timeout_s(self) -> float:
        """How long a call may take that begins now, in seconds."""
        return self._default_timeout_s() if callable(self._default_timeout_s) else self._default_timeout_s

    async def call(self, call: Call, values: Mapping[str, Any], timeout_s: float | None = None) -> Json:
        """Return the answer to a call.

        Until `timeout_s` is over, a call that failed is tried again if it changes nothing, or was certainly
        not applied.

        Raises:
            Error: etcd refused the call.
            OutcomeUnknownError: a call that may change something was sent, and its answer never came.
            TransportError: there was no answer in time, and certainly nothing was changed.
        """
        body = _to_json(encode(call.fields, values)).encode()
        now = asyncio.get_running_loop().time
        total_s = self.timeout_s if timeout_s is None else timeout_s
        deadline = now() + total_s
        # A read leaves time to ask the other endpoints.
        longest_try_s = total_s if call.changes else total_s / len(self._transports)
        waits = pauses()
        earlier: EtcdError | None = None
        while True:
            newest_revision = self._newest_revision
            try:
                reply = await self._attempt(call, body, deadline, longest_try_s)
            except EtcdError as error:
                pause_s = next(waits)
                if not self.is_repeatable(error, call) or now() + pause_s >= deadline:
                    is_over = isinstance(error.__cause__, TimeoutError) or now() >= deadline
                    if is_over and earlier is not None:
                        raise earlier from error  # it is the reason why the time ran out
                    raise
                self._warn_once(error)
                earlier = error
            else:
                self._fails = False
                if call.shows_newest_revision and not values.get("serializable"):
                    self._note_store(reply, newest_revision)
                return reply
            await asyncio.sleep(pause_s)

    async def open(self, call: Call, values: Mapping[str, Any]) -> Messages:
        """Return the messages of a call that goes on. It is tried once, at one endpoint.

        Raises:
            Error: etcd refused the call.
            TransportError: the call could not be sent, or its answer did not begin in time.
        """
        body = _to_json(encode(call.fields, values)).encode()
        timeout_s = self.timeout_s
        headers = await self._authorized(call, timeout_s)
        transport = self._transports[self._current]
        report = partial(self._give_up_on, self._current, headers)
        try:
            return Messages(await transport.open(call.path, headers, body, timeout_s), transport, report)
        except EtcdError as error:
            report(error)
            raise

    def forget_token(self) -> bool:
        """Let the next call authenticate anew, and return whether there was a token to forget."""
        had_one = self._token is not None
        self._token = None
        return had_one

    def is_repeatable(self, error: EtcdError, call: Call) -> bool:
        """Return whether another try may help and is safe: the call changes nothing, or was not applied."""
        if isinstance(error, Error):
            if error.message == _NO_LEADER or self._is_unauthenticated(error):
                return True
            return not call.changes and error.code in _UNDECIDED
        return isinstance(error, NotSentError) or (isinstance(error, TransportError) and not call.changes)

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports:
            await transport.close()

    async def _attempt(self, call: Call, body: bytes, deadline: float, longest_try_s: float) -> Json:
        now = asyncio.get_running_loop().time
        headers = await self._authorized(call, deadline - now())
        timeout_s = min(deadline - now(), longest_try_s)
        if timeout_s <= 0:
            raise NotSentError(f"the time for {call.path} was over before it was sent")
        endpoint = self._current
        try:
            return content_of(await self._transports[endpoint].post(call.path, headers, body, timeout_s))
        except EtcdError as error:
            self._give_up_on(endpoint, headers, error)
            if call.changes and _may_be_applied(error):
                raise OutcomeUnknownError(f"{call.path} may have been applied: {error}") from error
            raise

    async def _authorized(self, call: Call, timeout_s: float) -> Mapping[str, str]:
        if self._credentials is None or call is AUTHENTICATE:
            return self._headers
        try:
            # One renewal at a time: those that wait for it use its token.
            async with asyncio.timeout(timeout_s), self._renewal:
                if self._token is None:
                    self._token = await self._authenticate(*self._credentials, timeout_s)
        except TimeoutError as error:
            raise NotSentError(f"no authentication within {timeout_s:.3g} s") from error
        return {**self._headers, "Authorization": self._token} if self._token else self._headers

    async def _authenticate(self, name: str, password: str, timeout_s: float) -> str:
        """Return a token, or "" if etcd's authentication is off: then it takes requests without one."""
        try:
            reply = await self.call(AUTHENTICATE, {"name": name, "password": password}, timeout_s)
        except Error as error:
            if error.code != FAILED_PRECONDITION or error.message != _AUTHENTICATION_IS_OFF:
                raise
            _logger.warning("etcd's authentication is off: its client goes on without its credentials")
            return ""
        return str(reply["token"])

    def _is_unauthenticated(self, error: EtcdError) -> bool:
        """Return whether another token may help."""
        if not isinstance(error, Error) or self._credentials is None:
            return False
        return error.code == UNAUTHENTICATED or error.message in (_STALE_TOKEN, _NO_TOKEN)

    def _give_up_on(self, endpoint: int, headers: Mapping[str, str], error: EtcdError) -> None:
        """Let the next call use another endpoint, or another token, if this one is the reason."""
        if isinstance(error, TransportError) or (isinstance(error, Error) and error.code in _UNDECIDED):
            if self._current == endpoint:
                self._current = (endpoint + 1) % len(self._transports)
        elif self._is_unauthenticated(error) and self._token == headers.get("Authorization", ""):
            self._token = None

    def _warn_once(self, error: EtcdError) -> None:
        """Log the first failure after a success, so that an outage is one line in the log."""
        if not self._fails and not self._is_unauthenticated(error):
            self._fails = True
            _logger.warning("etcd does not answer as it should, trying again: %s", error)

    def _note_store(self, reply: Json, known_revision: int) -> None:
        """Log an error if etcd's data was replaced: its revision went back, or its cluster's id changed."""
        cluster_id, revision = reply["header"].get("cluster_id"), int(reply["header"].get("revision", 0))
        is_older = revision < min(known_revision, self._newest_revision)
        if is_older or self._cluster_id not in (None, cluster_id):
            _logger.error(
                "etcd's data was wiped, or restored from an older state: cluster %s is at revision %d,"
                " cluster %s was at revision %d",
                cluster_id,
                revision,
                self._cluster_id,
                known_revision,
            )
            self._newest_revision = 0
        self._cluster_id = cluster_id
        self._newest_revision = max(self._newest_revision, revision)


class Messages:
    """The messages of a call that goes on."""

    def __init__(self, stream: Stream, transport: Transport, report: Callable[[EtcdError], None]) -> None:
        self._stream = stream
        self._transport = transport
        self._report = report

    async def next(self) -> Json:
        """Wait for the next message. A wait that is cancelled loses nothing.

        A watch may be silent for long. So after every few seconds of silence the member gets a status
        request, to find out whether it still answers.

        Raises:
            Compacted: etcd cancelled a watch because it no longer keeps what comes next.
            Error: etcd ended the call for another reason.
            TransportError: the connection or the member is gone.
        """
        try:
            while True:
                try:
                    async with asyncio.timeout(_SILENCE_S):
                        line = await self._stream.line()
                except TimeoutError:
                    await self._transport.post(STATUS.path, {}, b"{}", _PROBE_TIMEOUT_S)
                    continue
                message = content_of(Reply(self._stream.status, line))
                if message.get("canceled"):
                    _raise_cancellation(message)
                return message
        except EtcdError as error:
            self._report(error)
            raise

    def close(self) -> None:
        """End the call, in etcd too."""
        self._stream.close()


def _may_be_applied(error: EtcdError) -> bool:
    """Return whether etcd may apply the request that met this, now or later."""
    if isinstance(error, Error):
        return error.code in _UNDECIDED and error.message != _NO_LEADER
    return not isinstance(error, NotSentError)


def content_of(reply: Reply) -> Json:
    """Return what etcd answered.

    The HTTP status decides whether the answer is an error. Only an answer that goes on can have the status
    200 and then an error.

    Raises:
        Error: etcd refused the request.
        TransportError: this is not an answer of an etcd.
    """
    try:
        content = _from_json(reply.body.decode())
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        if reply.status == 200 and "error" not in content:
            result = content.get("result", content)
            if isinstance(result, dict) and isinstance(result.get("header"), dict):
                return result
        else:
            _raise_error(content)
    text = f"HTTP {reply.status}: {reply.body[:200].decode('utf-8', 'replace').strip()!r}"
    if 400 <= reply.status < 500 and reply.status not in _LOST_STATUSES:
        raise Error(UNIMPLEMENTED, text)
    raise TransportError(f"this is no answer of an etcd: {text}")


def _raise_error(content: Json) -> None:
    """Raise the error that the content describes; return if it describes none.

    Until etcd 3.5 it is {"error", "message", "code"}, in an answer that goes on {"error": {"message",
    "grpc_code", ...}}. From 3.6 on it is {"message", "code"} or {"error": {"message", "code"}}.
    """
    details = content["error"] if isinstance(content.get("error"), dict) else content
    code = details.get("grpc_code", details.get("code"))
    message = details.get("message", content.get("error", ""))
    if not isinstance(code, int) or not isinstance(message, str):
        return
    if code == OUT_OF_RANGE and "compacted" in message:
        raise Compacted(message)
    raise Error(code, message)


def _raise_cancellation(message: Json) -> NoReturn:
    compact_revision = int(message.get("compact_revision", 0))
    if compact_revision:
        raise Compacted("the watch's next revision has been compacted", compact_revision)
    reason = str(message.get("cancel_reason", "the watch was cancelled"))
    if (found := _CANCEL_REASON.fullmatch(reason)) is not None:
        raise Error(_CANCEL_CODES.get(found[1], UNAVAILABLE), found[2])
    raise Error(PERMISSION_DENIED if "permission denied" in reason.lower() else UNAVAILABLE, reason)
