"""Compares a view in Python with its twin in JavaScript, row by row, on a real CouchDB."""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any

import requests

_BATCH = 1000
_TIMEOUT_S = 300

Document = dict[str, Any]


class TwinsDatabase:
    """A temporary database in which views are compared. The context manager creates and deletes it.

    ``url`` is the server's, and ``credentials`` are an administrator's.
    """

    def __init__(self, url: str, credentials: tuple[str, str]) -> None:
        self._url = f"{url.rstrip('/')}/cnp-twins-{uuid.uuid4().hex}"
        self._session = requests.Session()
        self._session.auth = credentials

    def __enter__(self) -> "TwinsDatabase":
        self._request("PUT", "")
        return self

    def __exit__(self, *_error: object) -> None:
        self._request("DELETE", "")
        self._session.close()

    def refusal(self, design_document: Document) -> str | None:
        """Return CouchDB's reason why it can't run a design document; None if it can.

        Tests skip a comparison when the server has no language "python" or doesn't allow the module.
        """
        try:
            path = self._create("refusal", design_document)
            self._request("GET", f"{path}/_view/{next(iter(design_document['views']))}?limit=0&reduce=false")
        except requests.HTTPError as error:
            return " ".join(error.response.text.split())
        return None

    def fill(self, documents: Iterable[Document]) -> None:
        """Write the documents, in batches.

        Raises:
            ValueError: CouchDB refused one.
        """
        remaining = iter(documents)
        while batch := list(islice(remaining, _BATCH)):
            answers = self._request("POST", "/_bulk_docs", {"docs": batch})
            refused = [answer for answer in answers if "error" in answer]
            if refused:
                raise ValueError(f"CouchDB refused a document: {refused[0]}")

    def differences(self, python: Document, javascript: Document) -> Iterator[str]:
        """Yield a line for each row that differs between the views of two design documents.

        All views are compared: their mapped rows and, where there is a reduce function, the reductions by
        key. 1 and 1.0 are equal.
        """
        paths = [self._create("python", python), self._create("javascript", javascript)]
        if python["views"].keys() != javascript["views"].keys():
            yield f"views: {sorted(python['views'])} in Python, {sorted(javascript['views'])} in JavaScript"
        for view in sorted(python["views"].keys() & javascript["views"].keys()):
            queries = ["reduce=false"]
            if "reduce" in python["views"][view] or "reduce" in javascript["views"][view]:
                queries.append("group=true")
            for query in queries:
                rows = [self._request("GET", f"{path}/_view/{view}?{query}")["rows"] for path in paths]
                yield from _differing_rows(f"{view}?{query}", *rows)

    def _create(self, name: str, design_document: Document) -> str:
        path = f"/_design/{name}-{uuid.uuid4().hex}"
        body = {key: value for key, value in design_document.items() if key not in ("_id", "_rev")}
        self._request("PUT", path, body)
        return path

    def _request(self, method: str, path: str, body: Document | None = None) -> Any:
        response = self._session.request(method, f"{self._url}{path}", json=body, timeout=_TIMEOUT_S)
        response.raise_for_status()
        return json.loads(response.text, parse_float=_number)


def _differing_rows(view: str, python: Sequence[Document], javascript: Sequence[Document]) -> Iterator[str]:
    for number, rows in enumerate(zip_longest(python, javascript)):
        of_python, of_javascript = (json.dumps(row, sort_keys=True) for row in rows)
        if of_python != of_javascript:
            yield f"{view}, row {number}: {of_python} in Python, {of_javascript} in JavaScript"


def _number(text: str) -> float:
    """Return the number as JavaScript would print it: 1.0 is 1."""
    value = float(text)
    return int(value) if value.is_integer() else value
