"""A database as an HTTP resource."""

import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec
import yarl

from tor_async_couchdb.wire.transport import Response, Transport

# CouchDB expects these options as JSON, and all others as plain text.
_JSON_OPTIONS = frozenset({"key", "keys", "startkey", "start_key", "endkey", "end_key"})

# CouchDB refuses URLs from some 8,000 characters on. Quoting may make three of each.
_MAX_KEY_SIZE_BYTES = 1024


class Endpoint:
    """The database at `url`.

    Its requests raise TransportError if CouchDB does not answer and ResponseError if it refuses.
    """

    def __init__(self, url: yarl.URL, transport: Transport) -> None:
        self.url = url
        self.transport = transport

    async def request(
        self,
        operation: str,
        method: str,
        path: str,
        options: Mapping[str, Any] | None = None,
        *,
        body: bytes | None = None,
        is_read: bool = True,
    ) -> Response:
        """CouchDB's answer, which is a success. `path` is relative to the database, and quoted."""
        query = urllib.parse.urlencode(
            {name: _option(name, value) for name, value in (options or {}).items()}
        )
        url = f"{self.url}/{path}" if path else str(self.url)
        target = yarl.URL(f"{url}?{query}" if query else url, encoded=True)
        return await self.transport.send(operation, method, target, body=body, is_read=is_read)

    async def get_json(
        self, operation: str, path: str, options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The JSON object that answers a GET."""
        return (await self.request(operation, "GET", path, options)).decode(dict[str, Any])


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a view that go into the query string, and those that go into the body of a POST.

    `keys` and long keys go into the body, because a URL has no room for them.
    https://docs.couchdb.org/en/stable/api/ddoc/views.html#post--db-_design-ddoc-_view-view
    """
    in_body = {name: value for name, value in options.items() if name == "keys" or _is_long_key(name, value)}
    return {name: value for name, value in options.items() if name not in in_body}, in_body


def _is_long_key(name: str, value: Any) -> bool:
    return name in _JSON_OPTIONS and len(msgspec.json.encode(value)) > _MAX_KEY_SIZE_BYTES


def _option(name: str, value: Any) -> str:
    if name in _JSON_OPTIONS or not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return value


def quote_id(document_id: str) -> str:
    """A document's id as a part of a URL's path; the slash of `_design/` and `_local/` is not quoted."""
    for prefix in ("_design/", "_local/"):
        if document_id.startswith(prefix):
            return prefix + quote_id(document_id.removeprefix(prefix))
    if document_id in (".", ".."):  # in a path they mean a folder, unless they are quoted
        return document_id.replace(".", "%2E")
    return urllib.parse.quote(document_id, safe="")
