"""Runs filters, validation, updates, shows, lists and rewrites: the design functions that build no index."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from couch_named_python.errors import (
    FatalError,
    ForbiddenError,
    InvalidJSONError,
    QueryServerError,
    TimeLimitError,
    UnauthorizedError,
)
from couch_named_python.helpers import STAGE, JSONObject
from couch_named_python.json_lines import encode
from couch_named_python.loading.loader import FunctionLoader
from couch_named_python.serve.map_reduce import MapReduce
from couch_named_python.serve.pipe import Pipe
from couch_named_python.serve.rendering import ListResponse, ShowResponse, response_object
from couch_named_python.serve.time_limit import TimeLimit
from couch_named_python.versions import DesignFunction

KINDS = ("filters", "lists", "rewrites", "shows", "updates", "validate_doc_update", "views")

# /db/_design/name/_show/function/document: a longer path than that of a show without a document.
_PATH_LENGTH_WITHOUT_DOCUMENT = 5


class DesignDocuments:
    """Remembers the design documents that CouchDB sends, and runs their functions."""

    def __init__(
        self, loader: FunctionLoader, map_reduce: MapReduce, pipe: Pipe, time_limit: TimeLimit
    ) -> None:
        self._loader = loader
        self._map_reduce = map_reduce
        self._pipe = pipe
        self._time_limit = time_limit
        self._documents: dict[str, JSONObject] = {}

    def learn(self, document_id: str, document: JSONObject) -> None:
        """Remember a design document in place of an earlier one of this id; a reset doesn't forget it."""
        self._documents[document_id] = document

    def run(self, document_id: str, path: list[Any], arguments: list[Any]) -> bytes:
        """Run the function at ``path`` in a design document and return the line that answers CouchDB.

        Raises:
            QueryServerError: there is no such function, it raised, or its result is not one of its kind.
            FatalError: CouchDB never sent the design document, or the kind of function is unknown.
        """
        if document_id not in self._documents:
            raise FatalError("query_protocol_error", f"uncached design doc: {document_id}")
        kind = path[0]
        if kind not in KINDS:
            raise FatalError("unknown_command", f"unknown ddoc command '{kind}'")
        return self._call(kind, self._find(document_id, path), arguments)

    def _call(self, kind: str, function: DesignFunction, arguments: list[Any]) -> bytes:
        match kind, arguments:
            case "lists", [head, dict() as request, *_]:
                with _reported_as("render_error", function):
                    return ListResponse(self._pipe, self._time_limit).run(function, head, request)
            case "shows", [document, dict() as request, *_]:
                return _show(function, document, request)
            case "updates", [document, dict() as request, *_]:
                return _update(function, document, request)
            case "filters", [list() as documents, request, *_]:
                return _filter(function, documents, request)
            case "views", [list() as documents, *_]:
                return encode([True, self._map_reduce.selects(function, documents)])
            case "validate_doc_update", _:
                return _validate(function, arguments)
            case "rewrites", [dict() as request, *_]:
                return _rewrite(function, request)
        raise QueryServerError("query_protocol_error", f"unknown arguments of a '{kind}' function")

    def _find(self, document_id: str, path: list[Any]) -> DesignFunction:
        found: Any = self._documents[document_id]
        for step in path:
            found = found.get(step) if isinstance(found, dict) and isinstance(step, str) else None
        if found is None:
            reason = f"missing {path[0]} function {path[-1]} on design doc {document_id}"
            raise QueryServerError("not_found", reason)
        if not isinstance(found, str):
            raise QueryServerError("compilation_error", f"{path} on design doc {document_id} is no string")
        return self._loader.load(found)


@contextmanager
def _reported_as(error_name: str, function: DesignFunction) -> Iterator[None]:
    """Turn whatever a design function raises into an error for CouchDB, with the traceback in the log."""
    name = f"{function.__module__}.{function.__qualname__}"
    try:
        yield
    except InvalidJSONError as error:
        raise QueryServerError(error.name, f"the result of {name} is {error.reason}") from error
    except (QueryServerError, TimeLimitError):
        raise
    except BaseException as error:
        STAGE.log(f"{name} failed\n{traceback.format_exc()}")
        raise QueryServerError(error_name, f"{name} raised {type(error).__name__}: {error}") from error


def _show(function: DesignFunction, document: JSONObject | None, request: JSONObject) -> bytes:
    try:
        with _reported_as("render_error", function):
            response = ShowResponse().run(function, document, request)
            return b'["resp",' + encode(response, "response") + b"]"
    except QueryServerError as error:
        path = request.get("path")
        is_for_a_document = isinstance(path, list) and len(path) > _PATH_LENGTH_WITHOUT_DOCUMENT
        if error.name == "render_error" and document is None and is_for_a_document:
            raise QueryServerError("not_found", "document not found") from error
        raise


def _update(function: DesignFunction, document: JSONObject | None, request: JSONObject) -> bytes:
    if request.get("method") == "GET":
        raise QueryServerError("method_not_allowed", "Update functions do not allow GET")
    with _reported_as("render_error", function):
        result = function(document, request)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(f"an update function returns a document and a response, not {result!r}")
        new, response = result
        if new is not None and not isinstance(new, dict):
            raise TypeError(f"an update function returns a document or None first, not {new!r}")
        response_line = encode(response_object(response), "response")
        return b'["up",' + encode(new, "document") + b"," + response_line + b"]"


def _filter(function: DesignFunction, documents: list[Any], request: Any) -> bytes:
    with _reported_as("filter_error", function):
        results = [function(document, request) for document in documents]
        # Any JSON value counts as true or false. Other objects are refused, because most of them are true by
        # default: the coroutine of an async function would select every document.
        encode(results, "results")
        return encode([True, list(map(bool, results))])


def _validate(function: DesignFunction, arguments: list[Any]) -> bytes:
    with _reported_as("validation_error", function):
        try:
            result = function(*arguments)
        except (ForbiddenError, UnauthorizedError) as refusal:
            return encode({refusal.name: refusal.reason}, "refusal")
        # False or a Forbidden that is returned and not raised would otherwise let the document pass.
        if result is not None:
            raise TypeError(f"a validation function returns nothing or raises Forbidden, not {result!r}")
    return b"1"


def _rewrite(function: DesignFunction, request: JSONObject) -> bytes:
    with _reported_as("rewrite_error", function):
        try:
            result = function(request)
        except (ForbiddenError, UnauthorizedError) as refusal:
            return encode({refusal.name: refusal.reason}, "refusal")
        if result is None:
            return b'["no_dispatch_rule"]'
        if isinstance(result, str):
            result = {"path": result, "method": request.get("method")}
        elif not isinstance(result, dict):
            raise TypeError(f"a rewrite function returns a path, an object or None, not {result!r}")
        return b'["ok",' + encode(result, "rewrite") + b"]"
