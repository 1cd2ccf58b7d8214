"""Shows and lists: functions that turn a document or a view's rows into a response."""

import inspect
from collections.abc import Iterator
from typing import Any

from couch_named_python.errors import FatalError, QueryServerError, Redirect
from couch_named_python.helpers import STAGE, JSONObject
from couch_named_python.json_lines import MALFORMED, UNREADABLE, decode, encode
from couch_named_python.serve.pipe import Pipe, PipeClosedError
from couch_named_python.serve.time_limit import TimeLimit
from couch_named_python.versions import DesignFunction


def response_object(returned: Any) -> JSONObject:
    """Return CouchDB's response object for what a function returned: a body, an object or nothing.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(returned, str):
        return {"body": returned}
    if isinstance(returned, dict):
        return returned
    if returned is None:
        return {}
    raise TypeError(f"a response is a string or an object, not {returned!r}")


def _head(response: Any) -> JSONObject:
    if not isinstance(response, dict):
        raise TypeError(f"a response's head is an object, not {response!r}")
    return response


def _chunk(piece: Any) -> str:
    """Return a piece of a response's body as text; a number is written as Python prints it."""
    if not isinstance(piece, str | int | float) or isinstance(piece, bool):
        raise TypeError(f"a piece of a response is a string, not {piece!r}")
    # Not str() for all: of a string that is also an Enum it returns the member's name.
    return str.__str__(piece) if isinstance(piece, str) else str(piece)


class ShowResponse:
    """The response of one run of a show function."""

    def __init__(self) -> None:
        self._head: JSONObject = {}
        self._chunks: list[str] = []

    def start(self, response: JSONObject) -> None:
        """Set code and headers, which take precedence over those that the function returns.

        Raises:
            TypeError: ``response`` is no object.
        """
        self._head = _head(response)

    def send(self, chunk: str) -> None:
        """Append to the body, before what the function returns.

        Raises:
            TypeError: ``chunk`` is neither a string nor a number.
        """
        self._chunks.append(_chunk(chunk))

    def get_row(self) -> None:
        """Raise RuntimeError: a show has no rows."""
        raise RuntimeError("get_row() is for list functions")

    def run(self, function: DesignFunction, document: JSONObject | None, request: JSONObject) -> JSONObject:
        """Run a show function for a document and return its response.

        Raises:
            TypeError: the function returned no response.
        """
        STAGE.response = self
        try:
            returned = response_object(function(document, request))
        except Redirect as redirect:
            return redirect.response
        finally:
            STAGE.response = None
        response = {**returned, **self._head}
        headers = {**returned.get("headers", {}), **self._head.get("headers", {})}
        if headers:
            response["headers"] = headers
        if self._chunks:
            response["body"] = "".join(self._chunks) + returned.get("body", "")
        return response


class ListResponse:
    """The response of one run of a list function, sent in pieces as CouchDB sends the view's rows."""

    def __init__(self, pipe: Pipe, time_limit: TimeLimit) -> None:
        self._pipe = pipe
        self._time_limit = time_limit
        self._head: JSONObject | None = {}
        self._chunks: list[str] = []
        self._is_sent = False
        self._is_at_end = False
        self._failure: FatalError | None = None

    def start(self, response: JSONObject) -> None:
        """Set code and headers.

        Raises:
            TypeError: ``response`` is no object.
        """
        self._head = _head(response)

    def send(self, chunk: str) -> None:
        """Append to the body. CouchDB gets the pieces when the function asks for the next row.

        Raises:
            TypeError: ``chunk`` is neither a string nor a number.
        """
        self._chunks.append(_chunk(chunk))

    def get_row(self) -> JSONObject | None:
        """Send the pieces so far and return the next row; None after the last.

        Raises:
            FatalError: CouchDB sent something other than a row.
        """
        if self._failure is not None:
            raise self._failure
        if self._is_at_end:
            return None
        if self._is_sent:
            self._pipe.write(self._piece("chunks"))
        else:
            self._head = {"headers": {}, **(self._head or {})}
            self._pipe.write(self._piece("start"))
            self._is_sent = True
        return self._read_row()

    def _piece(self, label: str) -> bytes:
        piece = [label, self._chunks] if self._head is None else [label, self._chunks, self._head]
        line = encode(piece, "response")
        self._head = None
        self._chunks = []
        return line

    def _read_row(self) -> JSONObject | None:
        self._time_limit.end()
        line = next(self._pipe.lines, None)
        self._time_limit.begin()
        # The failure is kept as well, because the function may swallow the exception and go on.
        if line is None:
            self._failure = PipeClosedError("list_error", "the pipe was closed in the middle of a list")
            raise self._failure
        try:
            command = decode(line)
        except (*MALFORMED, *UNREADABLE):
            command = None
        match command:
            case ["list_row", dict() as row, *_]:
                return row
            case ["list_end", *_]:
                self._is_at_end = True
                return None
        self._failure = FatalError("list_error", f"not a row: {line[:80].decode(errors='replace')}")
        raise self._failure

    def run(self, function: DesignFunction, head: JSONObject, request: JSONObject) -> bytes:
        """Run a list function and return the last piece of its response; the earlier ones have been sent.

        Raises:
            QueryServerError: the function redirects after it has asked for a row.
            FatalError: CouchDB sent something other than a row.
        """
        STAGE.response = self
        try:
            tail = self._run_function(function, head, request)
        except Redirect as redirect:
            if self._is_sent:
                raise QueryServerError("render_error", "Redirect after the first row") from redirect
            self._head, self._chunks, tail = redirect.response, [], None
        finally:
            STAGE.response = None
        if not self._is_sent:
            self.get_row()
        if self._failure is not None:
            raise self._failure
        if tail is not None:
            self.send(tail)
        return self._piece("end")

    def _run_function(self, function: DesignFunction, head: JSONObject, request: JSONObject) -> Any:
        if not inspect.isgeneratorfunction(function):
            return function(head, request)
        for piece in function(head, request, self._rows()):
            if isinstance(piece, dict):
                self.start(piece)
            else:
                self.send(piece)
        return None

    def _rows(self) -> Iterator[JSONObject]:
        while (row := self.get_row()) is not None:
            yield row
