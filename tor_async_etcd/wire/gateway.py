"""Requests to a cluster: endpoints, retries, authentication, and where answers become errors."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from tor_async_etcd.errors import (
    OUT_OF_RANGE,
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

# The gRPC codes with which a member says that it lost track of a request, not that it refused it:
# cancelled, unknown, deadline exceeded, internal, unavailable.
_UNKNOWN = 2
_UNDECIDED = {1, _UNKNOWN, 4, 13, UNAVAILABLE}
_NO_LEADER = "etcdserver: no leader"  # said before the request is proposed, so it was not applied
_STALE_TOKEN = "etcdserver: revision of auth store is old"  # noqa: S105 - one of etcd's messages
_SILENCE_S = 5.0
_PROBE_TIMEOUT_S = 2.0

_to_json = json.JSONEncoder(check_circular=False).encode
_from_json = json.JSONDecoder().decode


class Gateway:
    """The JSON gateways of one cluster. Uses one endpoint until it fails, then the next."""

    def __init__(
        self,
        transports: Sequence[Transport],
        credentials: tuple[str, str] | None,
        timeout_s: float,
        require_leader: bool,
    ) -> None:
        self.timeout_s = timeout_s
        self._transports = transports
        self._current = 0
        self._credentials = credentials
        self._token: str | None = None
        self._renewal = asyncio.Lock()
        # With this a member without a leader says so at once instead of letting the request wait.
        self._headers = {"Grpc-Metadata-hasleader": "true"} if require_leader else {}

    async def call(self, call: Call, values: Mapping[str, Any], timeout_s: float | None = None) -> Json:
        """Return the answer to a call.

        What changes nothing, or was certainly not applied, is tried again until `timeout_s` is over.

        Raises:
            Error: etcd refused the call.
            OutcomeUnknownError: a call that may change something was sent, and its answer never came.
            TransportError: there was no answer in time, and certainly nothing was changed.
        """
        body = _to_json(encode(call.fields, values)).encode()
        now = asyncio.get_running_loop().time
        deadline = now() + (self.timeout_s if timeout_s is None else timeout_s)
        waits = pauses()
        earlier: EtcdError | None = None
        while True:
            endpoint, token = self._current, self._token
            try:
                return await self._attempt(endpoint, call, body, deadline - now())
            except EtcdError as error:
                self._give_up_on(endpoint, token, error)
                pause_s = next(waits)
                if not repeatable(error, call) or now() + pause_s >= deadline:
                    if isinstance(error.__cause__, TimeoutError) and earlier is not None:
                        raise earlier from error  # why the time was over says more than that it was
                    raise
                earlier = error
            await asyncio.sleep(pause_s)

    async def open(self, call: Call, values: Mapping[str, Any]) -> Messages:
        """Return the messages of a call that goes on; tried once, at one endpoint. Raises as `call` does."""
        body = _to_json(encode(call.fields, values)).encode()
        endpoint, token = self._current, self._token
        transport = self._transports[endpoint]
        report = partial(self._give_up_on, endpoint, token)
        try:
            headers = await self._authorized(call, self.timeout_s)
            return Messages(await transport.open(call.path, headers, body, self.timeout_s), transport, report)
        except EtcdError as error:
            report(error)
            raise

    def forget_token(self) -> bool:
        """Let the next call authenticate anew, and tell whether there was a token to forget."""
        had_one = self._token is not None
        self._token = None
        return had_one

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports:
            await transport.close()

    async def _attempt(self, endpoint: int, call: Call, body: bytes, timeout_s: float) -> Json:
        headers = await self._authorized(call, timeout_s)
        if not call.changes:  # leave time to ask the other endpoints
            timeout_s = min(timeout_s, self.timeout_s / len(self._transports))
        try:
            return _message(await self._transports[endpoint].post(call.path, headers, body, timeout_s))
        except NotSentError:
            raise
        except TransportError as error:
            if call.changes:
                raise OutcomeUnknownError(f"{call.path} may have been applied: {error}") from error
            raise
        except Error as error:
            if call.changes and error.code in _UNDECIDED and error.message != _NO_LEADER:
                raise OutcomeUnknownError(f"{call.path} may have been applied: {error}") from error
            raise

    async def _authorized(self, call: Call, timeout_s: float) -> Mapping[str, str]:
        if self._credentials is None or call is AUTHENTICATE:
            return self._headers
        name, password = self._credentials
        try:
            # One renewal at a time; whoever waited finds its token.
            async with asyncio.timeout(timeout_s), self._renewal:
                if self._token is None:
                    reply = await self.call(AUTHENTICATE, {"name": name, "password": password}, timeout_s)
                    self._token = str(reply["token"])
        except TimeoutError as error:
            raise NotSentError(f"no authentication within {timeout_s:.3g} s") from error
        return {**self._headers, "Authorization": self._token}

    def _give_up_on(self, endpoint: int, token: str | None, error: EtcdError) -> None:
        if isinstance(error, TransportError) or (isinstance(error, Error) and error.code in _UNDECIDED):
            if self._current == endpoint:
                self._current = (endpoint + 1) % len(self._transports)
        elif _is_unauthenticated(error) and self._token == token:
            self._token = None


class Messages:
    """The messages of a call that goes on."""

    def __init__(self, stream: Stream, transport: Transport, report: Callable[[EtcdError], None]) -> None:
        self._stream = stream
        self._transport = transport
        self._report = report

    async def next(self) -> Json:
        """Wait for the next message; giving up waiting loses nothing.

        Silence is normal here, so every few seconds of it the member is asked whether it is still alive.

        Raises:
            Error: etcd ended the call for a reason.
            TransportError: the connection or the member is gone.
        """
        try:
            while True:
                try:
                    async with asyncio.timeout(_SILENCE_S):
                        return _message(Reply(200, await self._stream.line()))
                except TimeoutError:
                    await self._transport.post(STATUS.path, {}, b"{}", _PROBE_TIMEOUT_S)
        except EtcdError as error:
            self._report(error)
            raise

    def close(self) -> None:
        """End the call, on etcd's side too."""
        self._stream.close()


def _message(reply: Reply) -> Json:
    """Return an answer's content, or raise the error that it is."""
    try:
        content: Json = _from_json(reply.body.decode())
    except ValueError as error:
        text = reply.body[:200].decode("utf-8", "replace").strip()
        if 400 <= reply.status < 500:
            raise Error(UNIMPLEMENTED, f"HTTP {reply.status}: {text}") from error
        raise TransportError(f"HTTP {reply.status} with no answer of an etcd: {text!r}") from error
    if "error" not in content:
        result: Json = content.get("result", content)
        return result
    # A unary error is {"error", "message", "code"}, that of a stream {"error": {"grpc_code", "message"}}.
    details: Json = content["error"] if isinstance(content["error"], dict) else content
    code = int(details["grpc_code"] if "grpc_code" in details else details.get("code", _UNKNOWN))
    message = str(details.get("message", content["error"]))
    if code == OUT_OF_RANGE and "compacted" in message:
        raise Compacted(message)
    raise Error(code, message)


def _is_unauthenticated(error: EtcdError) -> bool:
    return isinstance(error, Error) and (error.code == UNAUTHENTICATED or error.message == _STALE_TOKEN)


def repeatable(error: EtcdError, call: Call) -> bool:
    """Tell whether the call was certainly not applied, or changes nothing, and another try may help."""
    if isinstance(error, Error):
        if error.message == _NO_LEADER or _is_unauthenticated(error):
            return True
        return not call.changes and error.code in _UNDECIDED
    return isinstance(error, NotSentError) or not call.changes
