"""Design documents in a database: what is there, what would change, and the change without an outage."""

import difflib
import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 60
_PROGRESS_EVERY_S = 2
_NO_DOCUMENT = ("missing", "deleted")  # another reason for a 404: "Database does not exist."

Document = dict[str, Any]


class DeploymentError(Exception):
    """CouchDB refused or didn't answer; the message is one line that says what was being done."""


class _TimeoutError(DeploymentError):
    """CouchDB took the request and hasn't answered yet."""


class DesignDatabase:
    """The design documents of one database."""

    def __init__(self, url: str, database: str, credentials: tuple[str, str] | None) -> None:
        self._url = f"{url.rstrip('/')}/{quote(database, safe='')}"
        self._session = requests.Session()
        self._session.auth = credentials

    def fetch(self, document_id: str) -> Document | None:
        """Return the design document as it is deployed; None if it isn't.

        Raises:
            DeploymentError: there is no such database, or CouchDB refused.
        """
        response = self._request("GET", document_id)
        if response.status_code == requests.codes.not_found and _reason(response) in _NO_DOCUMENT:
            return None
        document: Document = _checked(response, f"read {document_id}").json()
        return document

    def upload(self, document: Document, deployed: Document | None) -> None:
        """Write ``document`` in place of ``deployed``, keeping what CouchDB itself has in it (attachments).

        Raises:
            DeploymentError: CouchDB refused, or the design document changed since ``deployed`` was read.
        """
        kept = {key: value for key, value in (deployed or {}).items() if key.startswith("_")}
        document_id = document["_id"]
        response = self._request("PUT", document_id, json={**kept, **document})
        if response.status_code == requests.codes.conflict:
            raise DeploymentError(f"{document_id} was changed by somebody else meanwhile: look at it again")
        _checked(response, f"write {document_id}")

    def build_index(self, document: Document, on_progress: Callable[[int], None]) -> None:
        """Build the index of the document's views under a temporary design document, which then goes away.

        CouchDB knows an index by its functions, not by its design document's name, so the real one finds
        it ready. ``on_progress`` is told the number of changes still to be indexed, every two seconds.

        Raises:
            DeploymentError: CouchDB refused, or a function did.
        """
        views = document.get("views", {})
        if not views:
            return
        temporary_id = f"_design/cnp-build-{uuid.uuid4().hex}"
        parts: Document = {key: document[key] for key in ("language", "options", "views") if key in document}
        _checked(self._request("PUT", temporary_id, json=parts), f"write {temporary_id}")
        try:
            self._await_index(temporary_id, next(iter(views)), on_progress)
        finally:
            revision = self._request("HEAD", temporary_id).headers.get("ETag", "").strip('"')
            self._request("DELETE", temporary_id, params={"rev": revision})

    def _await_index(self, design_id: str, view: str, on_progress: Callable[[int], None]) -> None:
        """Ask for the view until the answer comes in time: an answer means that the index is complete."""
        query = {"limit": 0, "reduce": "false"}
        while True:
            try:
                response = self._request(
                    "GET", design_id, "_view", view, params=query, read_timeout_s=_PROGRESS_EVERY_S
                )
            except _TimeoutError:
                info = _checked(self._request("GET", design_id, "_info"), f"read the state of {design_id}")
                on_progress(info.json()["view_index"]["updates_pending"]["total"])
                continue
            _checked(response, f"build the index of view '{view}'")
            return

    def _request(
        self,
        method: str,
        design_id: str,
        *parts: str,
        params: dict[str, Any] | None = None,
        json: Document | None = None,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> requests.Response:
        segments = [*design_id.split("/", 1), *parts]
        url = "/".join([self._url, *(quote(segment, safe="") for segment in segments)])
        timeout_s = (_CONNECT_TIMEOUT_S, read_timeout_s)
        try:
            return self._session.request(
                method, url, params=params, json=json, timeout=timeout_s, allow_redirects=False
            )
        except requests.ReadTimeout as error:
            raise _TimeoutError(f"no answer from {self._url} within {read_timeout_s} s") from error
        except requests.RequestException as error:
            raise DeploymentError(f"no answer from {self._url}: {type(error).__name__}") from error


def difference(deployed: Document | None, document: Document) -> list[str]:
    """Return the lines of a unified diff from what is deployed to ``document``; none if they are equal."""
    before = {key: value for key, value in (deployed or {}).items() if key in document or key[0] != "_"}
    return list(difflib.unified_diff(_lines(before), _lines(document), "deployed", "installed", lineterm=""))


def _lines(document: Document) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True).splitlines()


def _checked(response: requests.Response, action: str) -> requests.Response:
    if not response.ok:
        raise DeploymentError(f"cannot {action}: {response.status_code} {_reason(response)}")
    return response


def _reason(response: requests.Response) -> str:
    """Return CouchDB's reason for a refusal, on one line."""
    try:
        return " ".join(str(response.json()["reason"]).split())
    except (requests.JSONDecodeError, KeyError, TypeError):
        return "(not an answer of CouchDB)"
