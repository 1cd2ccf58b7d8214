"""A database as an HTTP resource."""

import functools
import math
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import yarl

from tor_async_couchdb.calls import Call
from tor_async_couchdb.errors import CouchDBError, ResponseError
from tor_async_couchdb.model import Document
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.wire import document_json
from tor_async_couchdb.wire.nodes import Nodes
from tor_async_couchdb.wire.transport import (
    ConnectionBrokeError,
    Response,
    Transport,
    UnansweredError,
    UnreachableError,
)

# CouchDB expects these options as JSON, and all others as plain text.
_JSON_OPTIONS = frozenset({"key", "keys", "startkey", "start_key", "endkey", "end_key"})
# These may be of any length.
_UNBOUNDED_OPTIONS = _JSON_OPTIONS | {"startkey_docid", "start_key_doc_id", "endkey_docid", "end_key_doc_id"}

_MAX_QUERY_SIZE = 4096  # characters; CouchDB refuses URLs from some 8,000 on

# From a node that is down, starts, or is in maintenance, or from the gateway in front of it.
_STATUSES_OF_FAILED_NODES = (502, 503, 504)
# A caller's deadline may leave a node less time than this to answer, which says nothing about the node.
_HUNG_AFTER_S = 1.0


class Endpoint:
    """A database, on any of the `nodes`.

    A request goes to one node, and to the others only if that one fails and the request can be made twice: a
    read, or a request that was not sent. Each of these moves spends a token of the `retry_budget`.

    Its requests raise TransportError if CouchDB does not answer and ResponseError if it refuses.
    """

    def __init__(self, nodes: Nodes, transport: Transport, retry_budget: RetryBudget) -> None:
        self.nodes = nodes
        self.url = nodes.urls[0]
        self._transport = transport
        self._retry_budget = retry_budget

    async def request(
        self,
        operation: str,
        path: str,
        options: Mapping[str, Any] | None = None,
        *,
        body: bytes | None = None,
        is_read: bool = True,
        node: yarl.URL | None = None,
        may_be_slow: bool = False,
        batch_size: int = 1,
    ) -> Response:
        """CouchDB's answer, which is a success. `path` is relative to the database, and quoted.

        `operation` and `batch_size` are those of the `Call`: the method is the operation's first word.

        Without a `node` the request may go to any. Of several nodes each gets a share of the time until the
        deadline, so that another can be asked, also for what became of a write. If the answer `may_be_slow`,
        a node gets all the time that is left.
        """
        query = _query(options or {})
        suffix = (f"/{path}" if path else "") + (f"?{query}" if query else "")
        if len(self.nodes.urls) == 1:
            url = yarl.URL(f"{self.url}{suffix}", encoded=True)
            call = _call(operation, self.url, batch_size)
            return await self._transport.send(call, url, body=body, is_read=is_read)

        def target(node: yarl.URL) -> yarl.URL:
            return yarl.URL(f"{node}{suffix}", encoded=True)

        return await self._send(operation, target, body, is_read, node, may_be_slow, batch_size)

    async def request_ids(self, count: int) -> Response:
        """CouchDB's answer to a request for so many ids of new documents."""

        def target(node: yarl.URL) -> yarl.URL:
            return node.with_name("_uuids").with_query(count=count)

        return await self._send("GET /_uuids", target)

    async def get_document(
        self,
        path: str,
        options: Mapping[str, Any] | None = None,
        *,
        operation: str = "GET /{db}/{docid}",
        node: yarl.URL | None = None,
        may_be_slow: bool = False,
    ) -> Document:
        """The document that answers a GET; see `request`.

        Raises:
            UnreadableDocumentError: it can't be decoded.
        """
        response = await self.request(operation, path, options, node=node, may_be_slow=may_be_slow)
        document = response.decode(dict[str, Any], document_json.refuse)
        try:
            document_json.check_is_stored(document)
        except msgspec.ValidationError as error:
            raise response.unusable(error) from error
        return document

    async def _send(
        self,
        operation: str,
        target: Callable[[yarl.URL], yarl.URL],
        body: bytes | None = None,
        is_read: bool = True,
        node: yarl.URL | None = None,
        may_be_slow: bool = False,
        batch_size: int = 1,
    ) -> Response:
        deadline_s = self._transport.deadline_s()
        nodes = self.nodes.to_try(self.nodes.any() if node is None else node)
        while True:
            node = nodes.pop(0)
            share_s = (deadline_s - time.monotonic()) / (len(nodes) + 1)
            try:
                response = await self._transport.send(
                    _call(operation, node, batch_size),
                    target(node),
                    body=body,
                    is_read=is_read,
                    deadline_s=deadline_s,
                    patience_s=math.inf if may_be_slow else share_s,
                    is_last_node=not nodes,
                )
            except CouchDBError as error:
                self._remember(node, error)
                is_over = not nodes or time.monotonic() >= deadline_s or self._retry_budget.is_empty
                if is_over or not _may_be_sent_to_another_node(error, is_read):
                    raise
                self._retry_budget.spend()
            else:
                self.nodes.trust(node)
                return response

    def _remember(self, node: yarl.URL, error: CouchDBError) -> None:
        match error:
            case UnreachableError():
                self.nodes.avoid(node)
            case UnansweredError() if error.waited_s >= _HUNG_AFTER_S:
                self.nodes.avoid(node)
            case ResponseError() if error.status in _STATUSES_OF_FAILED_NODES:
                self.nodes.avoid(node)
            case ResponseError():
                self.nodes.trust(node)


@functools.lru_cache(maxsize=1024)
def _call(operation: str, url: yarl.URL, batch_size: int) -> Call:
    """The call to a database at this URL; it is the same one each time, which takes no time to make."""
    return Call(operation, url.name, url.host or "", url.port or 0, batch_size)


def _may_be_sent_to_another_node(error: CouchDBError, is_read: bool) -> bool:
    """Whether the request had no effect, and another node may answer it."""
    match error:
        case UnreachableError():
            return True
        case ConnectionBrokeError() | UnansweredError():
            return is_read
        case ResponseError():
            return is_read and error.status >= 500
        case _:
            return False


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a view that go into the query string, and those that go into the body of a POST.

    `keys` goes into the body, and so do keys and documents' ids that together are long, because a URL has no
    room for them. All others are short.
    https://docs.couchdb.org/en/stable/api/ddoc/views.html#post--db-_design-ddoc-_view-view
    """
    unbounded = {name: value for name, value in options.items() if name in _UNBOUNDED_OPTIONS}
    if "keys" not in unbounded and len(_query(unbounded)) <= _MAX_QUERY_SIZE:
        return dict(options), {}
    return {name: value for name, value in options.items() if name not in unbounded}, unbounded


def _query(options: Mapping[str, Any]) -> str:
    return urllib.parse.urlencode({name: _option(name, value) for name, value in options.items()})


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
