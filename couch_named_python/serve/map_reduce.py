"""Runs map functions over documents and reduce functions over rows."""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from couch_named_python.errors import FatalError, InvalidJSONError, QueryServerError, TimeLimitError
from couch_named_python.helpers import STAGE, JSONObject
from couch_named_python.json_lines import decode, encode, encode_rows, number
from couch_named_python.loading.loader import FunctionLoader
from couch_named_python.versions import DesignFunction
from couch_named_python.views import collected_rows


class MapReduce:
    """Runs the map functions of the index that CouchDB is building, and any reduce function."""

    def __init__(self, loader: FunctionLoader) -> None:
        self._loader = loader
        self._map_functions: list[DesignFunction] = []
        self._reduce_limit: str | bool = True
        self._reduce_limit_bytes = 0.0
        self._reduce_limit_ratio = 0.0
        self.reset({})

    def reset(self, settings: JSONObject) -> None:
        """Forget the map functions and set CouchDB's limit on the output of reduce functions.

        What a server doesn't send is as in [query_server_config] of CouchDB 3.5.1.
        """
        self._map_functions = []
        self._reduce_limit = settings.get("reduce_limit", False)
        self._reduce_limit_bytes = number(settings.get("reduce_limit_threshold"), 5000)
        self._reduce_limit_ratio = number(settings.get("reduce_limit_ratio"), 2.0)

    def add_function(self, path: str) -> None:
        """Add the map function that ``path`` names.

        Raises:
            QueryServerError: the path is malformed or not allowed.
            FatalError: there is no such function, or it has another version.
        """
        self._map_functions.append(self._loader.load(path))

    def map_document(self, document: JSONObject, line: bytes) -> bytes:
        """Return each function's rows for the document that CouchDB sent in ``line``."""
        results: list[bytes] = []
        for function in self._map_functions:
            if results:
                # Decoding again is the cheapest copy: no function sees what another did to its document.
                document = decode(line)[1]
            results.append(self._map_with(function, document))
        return b"[" + b",".join(results) + b"]"

    def _map_with(self, function: DesignFunction, document: JSONObject) -> bytes:
        try:
            return encode_rows(collected_rows(function, document))
        except (FatalError, TimeLimitError):
            raise
        except BaseException as error:  # noqa: BLE001 -- a failure costs the rows of this document, no more
            _log_failure("map", function, f"no rows for document {document.get('_id')!r}", error)
            return b"[]"

    def skip_document(self, line: bytes, error: Exception) -> bytes:
        """Log that Python can't hold a document, and answer with no rows for it.

        An error would stop the build of the whole index at this document, each time.
        """
        STAGE.log(f"document skipped, {error}: {line[:200].decode(errors='replace')}…")
        return b"[" + b",".join([b"[]"] * len(self._map_functions)) + b"]"

    def selects(self, function: DesignFunction, documents: Sequence[JSONObject]) -> list[bool]:
        """Return for each document whether the map function has rows for it (``filter=_view``)."""
        return [self._map_with(function, document) != b"[]" for document in documents]

    def reduce(self, paths: Sequence[str], pairs: Sequence[Any], line: bytes) -> bytes:
        """Return each function's reduction of the rows, ``[[key, id], value]``, sent in ``line``."""

        def arguments(pairs: Sequence[Any]) -> tuple[Any, Any, bool]:
            return [pair[0] for pair in pairs], [pair[1] for pair in pairs], False

        return self._reduce_with(paths, arguments, pairs, line)

    def rereduce(self, paths: Sequence[str], reductions: Sequence[Any], line: bytes) -> bytes:
        """Return each function's reduction of the reductions sent in ``line``."""
        return self._reduce_with(paths, lambda values: (None, values, True), reductions, line)

    def _reduce_with(
        self,
        paths: Sequence[str],
        arguments: Callable[[Sequence[Any]], tuple[Any, Any, bool]],
        values: Sequence[Any],
        line: bytes,
    ) -> bytes:
        results: list[bytes] = []
        for function in [self._loader.load(path) for path in paths]:
            if results:
                values = decode(line)[2]
            try:
                results.append(encode(function(*arguments(values)), "result"))
            except (FatalError, TimeLimitError):
                raise
            except BaseException as error:  # noqa: BLE001 -- as in CouchDB's own, the others go on
                _log_failure("reduce", function, "the result is null", error)
                results.append(b"null")
        output = b"[" + b",".join(results) + b"]"
        self._check_size(len(output), len(line) - sum(map(len, paths)))
        return b"[true," + output + b"]"

    def _check_size(self, output_bytes: int, input_bytes: int) -> None:
        """Apply CouchDB's rule that a reduction must be much smaller than its input (views.js, 3.5.1)."""
        if (
            not self._reduce_limit
            or output_bytes <= self._reduce_limit_bytes
            or output_bytes * self._reduce_limit_ratio <= input_bytes
        ):
            return
        reason = (
            f"Reduce output must shrink more rapidly: input size: {input_bytes} output size: {output_bytes}"
        )
        if self._reduce_limit != "log":
            raise QueryServerError("reduce_overflow_error", reason)
        STAGE.log(f"reduce_overflow_error: {reason}")


def _log_failure(kind: str, function: DesignFunction, consequence: str, error: BaseException) -> None:
    name = f"{function.__module__}.{function.__qualname__}"
    # A result that is no JSON fails in our code: our traceback would only hide the sentence.
    reason = error.reason if isinstance(error, InvalidJSONError) else traceback.format_exc()
    STAGE.log(f"{kind} function {name} failed, {consequence}\n{reason}")
