"""The query server: CouchDB's commands, one a line, each answered with one line.

The protocol is that of CouchDB 3.x: its documentation's chapter "Query Server", and in its sources
share/server/ (the JavaScript counterpart of this package) and couch_os_process.erl (the other end).
"""

import contextlib
import os
import traceback
from typing import Any, NoReturn

from couch_named_python.errors import FatalError, QueryServerError, TimeLimitError
from couch_named_python.helpers import STAGE, JSONObject
from couch_named_python.json_lines import MALFORMED, UNREADABLE, decode, encode_text_line, number
from couch_named_python.loading.loader import FunctionLoader
from couch_named_python.serve.design_documents import DesignDocuments
from couch_named_python.serve.map_reduce import MapReduce
from couch_named_python.serve.pipe import Pipe, PipeClosedError
from couch_named_python.serve.time_limit import DEFAULT_TIMEOUT_MS, TimeLimit

_COMMANDS = ("add_fun", "add_lib", "ddoc", "map_doc", "reduce", "rereduce", "reset")
_TIME_LIMIT_REASON = "the function ran for too long and was interrupted"


class QueryServer:
    """Answers CouchDB's commands until CouchDB closes the pipe or a fatal error ends the server."""

    def __init__(self, pipe: Pipe, loader: FunctionLoader) -> None:
        self._pipe = pipe
        self._loader = loader
        self._time_limit = TimeLimit(self._give_up)
        self._map_reduce = MapReduce(loader)
        self._design_documents = DesignDocuments(loader, self._map_reduce, pipe, self._time_limit)
        STAGE.log = pipe.log

    def run(self) -> int:
        """Serve, and return the exit status: 0 when CouchDB has closed the pipe, 1 after a fatal error."""
        try:
            for line in self._pipe.lines:
                try:
                    answer = self._answer(line)
                except PipeClosedError:
                    break
                except FatalError as error:
                    self._pipe.write(_error("fatal", error))
                    self._pipe.flush()
                    return 1
                self._pipe.write(answer)
        except BrokenPipeError:
            # CouchDB is gone, and nothing reads what is still buffered.
            os._exit(1)
        return 0

    def _answer(self, line: bytes) -> bytes:
        try:
            try:
                self._time_limit.begin()
                return self._dispatch(line)
            finally:
                self._time_limit.end()
        except TimeLimitError:
            self._time_limit.end()
            return _error("error", QueryServerError("function_timeout", _TIME_LIMIT_REASON))
        except FatalError:
            raise
        except QueryServerError as error:
            return _error("error", error)
        except BaseException as error:  # noqa: BLE001 -- an unforeseen failure must not end the server
            self._pipe.log(traceback.format_exc())
            reason = traceback.format_exception_only(error)[-1].strip()
            return _error("error", QueryServerError(type(error).__name__, reason))

    def _dispatch(self, line: bytes) -> bytes:
        try:
            command = decode(line)
        except UNREADABLE as error:
            if line.startswith(b'["map_doc"'):
                return self._map_reduce.skip_document(line, error)
            raise QueryServerError("unreadable_value", str(error)) from error
        except MALFORMED as error:
            raise QueryServerError("query_protocol_error", f"not JSON: {error}") from error
        match command:
            case ["map_doc", dict() as document, *_]:
                return self._map_reduce.map_document(document, line)
            case ["reduce", list() as paths, list() as pairs, *_]:
                return self._map_reduce.reduce(paths, pairs, line)
            case ["rereduce", list() as paths, list() as values, *_]:
                return self._map_reduce.rereduce(paths, values, line)
            case ["ddoc", str() as document_id, [str(), *_] as path, list() as arguments, *_]:
                return self._design_documents.run(document_id, path, arguments)
        self._prepare(command)
        return b"true"

    def _prepare(self, command: Any) -> None:
        """Run a command whose answer is always true, such as a reset."""
        match command:
            case ["reset", *arguments]:
                self._reset(arguments[0] if arguments and isinstance(arguments[0], dict) else {})
            case ["add_fun", str() as path, *_]:
                self._map_reduce.add_function(path)
            case ["add_lib", *_]:
                pass  # CommonJS modules; Python functions import theirs
            case ["ddoc", "new", str() as document_id, dict() as document, *_]:
                self._design_documents.learn(document_id, document)
            case [str() as name, *_] if name in _COMMANDS:
                raise QueryServerError("query_protocol_error", f"unknown arguments of '{name}'")
            case _:
                raise FatalError("unknown_command", f"unknown command: {str(command)[:80]}")

    def _reset(self, settings: JSONObject) -> None:
        self._time_limit.set_timeout(number(settings.get("timeout"), DEFAULT_TIMEOUT_MS))
        self._map_reduce.reset(settings)
        self._loader.check_code()

    def _give_up(self) -> NoReturn:
        """End the process while a function runs on that has swallowed TimeLimitError."""
        # RuntimeError: the function was stuck in a write to the same pipe.
        with contextlib.suppress(OSError, RuntimeError):
            self._pipe.write(_error("fatal", FatalError("function_timeout", _TIME_LIMIT_REASON)))
            self._pipe.flush()
        os._exit(1)


def _error(severity: str, error: QueryServerError) -> bytes:
    return encode_text_line(severity, str(error.name), str(error.reason))
