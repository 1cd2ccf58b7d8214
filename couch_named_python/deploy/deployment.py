"""Design documents in a database: what is there, what would change, and the change without an outage."""

import difflib
import json
import os
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 60
_PROGRESS_EVERY_S = 2
_NOT_COUCHDB = "(not an answer of CouchDB)"
_NO_DOCUMENT = ("missing", "deleted")  # another reason for a 404: "Database does not exist."

Document = dict[str, Any]


class DeploymentError(Exception):
    """CouchDB refused or didn't answer. The message is one line that says what failed."""


class _TimeoutError(DeploymentError):
    """CouchDB accepted the connection and hasn't answered in time."""


class DesignDatabase:
    """The design documents of one database."""

    def __init__(self, url: str, database: str, credentials: tuple[str, str] | None) -> None:
        self._url = f"{url.rstrip('/')}/{quote(database, safe='')}"
        self._session = requests.Session()
        self._session.auth = credentials
        if certificates := os.environ.get("SSL_CERT_FILE"):
            self._session.verify = certificates  # as Python's own TLS clients do; requests doesn't by itself

    def fetch(self, document_id: str) -> Document | None:
        """Return the deployed design document; None if there is none.

        Raises:
            DeploymentError: there is no such database, or CouchDB refused.
        """
        response = self._request("GET", document_id)
        if response.status_code == requests.codes.not_found and _reason(response) in _NO_DOCUMENT:
            return None
        return _content(response, f"read {document_id}")

    def upload(self, document: Document, deployed: Document | None) -> None:
        """Replace ``deployed`` with ``document``, and keep what CouchDB owns (``_rev``, ``_attachments``).

        Raises:
            DeploymentError: CouchDB refused, or the design document changed since ``deployed`` was read.
        """
        kept = {key: value for key, value in (deployed or {}).items() if key.startswith("_")}
        document_id = document["_id"]
        response = self._request("PUT", document_id, json={**kept, **document})
        if response.status_code == requests.codes.conflict:
            raise DeploymentError(f"{document_id} has changed since it was read; run cnp-upload again")
        _checked(response, f"write {document_id}")

    def build_index(self, document: Document, on_progress: Callable[[int], None]) -> None:
        """Build the index of the document's views under a temporary design document, and delete that.

        CouchDB identifies an index by its functions, not by the name of the design document, so the real
        one uses it at once. ``on_progress`` is called every two seconds with the number of changes that
        are still to be indexed.

        Raises:
            DeploymentError: CouchDB refused, or couldn't run a function.
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
        """Query the view until it answers within two seconds. It answers when the index is complete."""
        query = {"limit": 0, "reduce": "false"}
        while True:
            try:
                response = self._request(
                    "GET", design_id, "_view", view, params=query, read_timeout_s=_PROGRESS_EVERY_S
                )
            except _TimeoutError:
                action = f"read the state of {design_id}"
                info = _content(self._request("GET", design_id, "_info"), action)
                try:
                    on_progress(info["view_index"]["updates_pending"]["total"])
                except (KeyError, TypeError) as error:
                    raise DeploymentError(f"cannot {action}: {_NOT_COUCHDB}") from error
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
        except OSError as error:  # a file of certificates that isn't there
            raise DeploymentError(f"cannot ask {self._url}: {error}") from error


def difference(deployed: Document | None, document: Document) -> list[str]:
    """Return a unified diff, line by line, from ``deployed`` to ``document``; empty if they are equal."""
    before = {key: value for key, value in (deployed or {}).items() if key in document or key[0] != "_"}
    return list(difflib.unified_diff(_lines(before), _lines(document), "deployed", "installed", lineterm=""))


def _lines(document: Document) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True).splitlines()


def _checked(response: requests.Response, action: str) -> requests.Response:
    if not response.ok:
        raise DeploymentError(f"cannot {action}: {response.status_code} {_reason(response)}")
    return response


def _content(response: requests.Response, action: str) -> Document:
    """Return the object in the body of an answer."""
    try:
        content = _checked(response, action).json()
    except requests.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise DeploymentError(f"cannot {action}: {response.status_code} {_NOT_COUCHDB}")
    return content


def _reason(response: requests.Response) -> str:
    """Return CouchDB's reason for a refusal, on one line."""
    try:
        return " ".join(str(response.json()["reason"]).split())
    except (requests.JSONDecodeError, KeyError, TypeError):
        return _NOT_COUCHDB
