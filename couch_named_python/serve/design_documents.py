"""Design functions outside of indexes: filters, validation, updates, shows, lists and rewrites."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from couch_named_python.errors import (
    FatalError,
    ForbiddenError,
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
    """The design documents that CouchDB has sent, and how their functions are run."""

    def __init__(
        self, loader: FunctionLoader, map_reduce: MapReduce, pipe: Pipe, time_limit: TimeLimit
    ) -> None:
        self._loader = loader
        self._map_reduce = map_reduce
        self._pipe = pipe
        self._time_limit = time_limit
        self._documents: dict[str, JSONObject] = {}

    def learn(self, document_id: str, document: JSONObject) -> None:
        """Remember a design document; it survives a reset."""
        self._documents[document_id] = document

    def run(self, document_id: str, path: list[Any], arguments: list[Any]) -> bytes:
        """Return the answer of the function at ``path`` in a design document.

        Raises:
            QueryServerError: there is no such function, or it raised.
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
                return encode(["resp", _show(function, document, request)])
            case "updates", [document, dict() as request, *_]:
                return encode(_update(function, document, request))
            case "filters", [list() as documents, request, *_]:
                with _reported_as("filter_error", function):
                    return encode([True, [bool(function(document, request)) for document in documents]])
            case "views", [list() as documents, *_]:
                return encode([True, self._map_reduce.selects(function, documents)])
            case "validate_doc_update", _:
                return encode(_validate(function, arguments))
            case "rewrites", [dict() as request, *_]:
                return encode(_rewrite(function, request))
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
    try:
        yield
    except (QueryServerError, TimeLimitError):
        raise
    except BaseException as error:
        name = f"{function.__module__}.{function.__qualname__}"
        STAGE.log(f"{name} raised\n{traceback.format_exc()}")
        raise QueryServerError(error_name, f"{name} raised {type(error).__name__}: {error}") from error


def _show(function: DesignFunction, document: JSONObject | None, request: JSONObject) -> JSONObject:
    try:
        with _reported_as("render_error", function):
            return ShowResponse().run(function, document, request)
    except QueryServerError as error:
        path = request.get("path")
        is_for_a_document = isinstance(path, list) and len(path) > _PATH_LENGTH_WITHOUT_DOCUMENT
        if error.name == "render_error" and document is None and is_for_a_document:
            raise QueryServerError("not_found", "document not found") from error
        raise


def _update(function: DesignFunction, document: JSONObject | None, request: JSONObject) -> list[Any]:
    if request.get("method") == "GET":
        raise QueryServerError("method_not_allowed", "Update functions do not allow GET")
    with _reported_as("render_error", function):
        result = function(document, request)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(f"an update function returns a document and a response, not {result!r}")
        return ["up", result[0], response_object(result[1])]


def _validate(function: DesignFunction, arguments: list[Any]) -> int | dict[str, str]:
    with _reported_as("validation_error", function):
        try:
            function(*arguments)
        except (ForbiddenError, UnauthorizedError) as refusal:
            return {refusal.name: refusal.reason}
    return 1


def _rewrite(function: DesignFunction, request: JSONObject) -> list[Any] | dict[str, str]:
    with _reported_as("rewrite_error", function):
        try:
            result = function(request)
        except (ForbiddenError, UnauthorizedError) as refusal:
            return {refusal.name: refusal.reason}
    if result is None:
        return ["no_dispatch_rule"]
    return ["ok", {"path": result, "method": request.get("method")} if isinstance(result, str) else result]
