"""A synchronous client for administrators: the installer, replication and tests use it.

It makes one request at a time, each with a timeout.
"""

from __future__ import annotations

import functools
import json
import re
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import msgspec
import requests
from requests.adapters import HTTPAdapter

from tor_async_couchdb.errors import NotFoundError, ResponseError, TransportError
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.wire import document_json
from tor_async_couchdb.wire.document_json import UnreadableDocumentError
from tor_async_couchdb.wire.json_parts import elements, members
from tor_async_couchdb.wire.login import HeaderLogin, Login, SessionLogin

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0  # creating a database on a busy cluster takes seconds
_ALREADY_EXISTS = 412
_COOKIE = "AuthSession"
_SUCCESSES = (200, 201, 202)  # 202: not yet accepted by a majority of a cluster's nodes

Document = dict[str, Any]

_Send = Callable[[], requests.Response]

T = TypeVar("T")


class _Description(msgspec.Struct, frozen=True):
    doc_count: int
    props: dict[str, Any] = {}


class _Row(msgspec.Struct, frozen=True):
    key: str
    value: dict[str, Any] | None = None  # of a document that never existed there is none
    doc: Document | None = None


class _Rows(msgspec.Struct, frozen=True):
    rows: list[_Row]


class _Written(msgspec.Struct, frozen=True):
    id: str
    error: str | None = None
    reason: Any = None


class _Revision(msgspec.Struct, frozen=True):
    rev: str


class _Shards(msgspec.Struct, frozen=True):
    shards: dict[str, Any]


class _Shard(msgspec.Struct, frozen=True):
    range: str


class _PendingUpdates(msgspec.Struct, frozen=True):
    total: int


class _Index(msgspec.Struct, frozen=True):
    updates_pending: _PendingUpdates


class _DesignDocument(msgspec.Struct, frozen=True):
    view_index: _Index


class AdminClient:
    """A connection to one CouchDB as its administrator. It is a context manager."""

    def __init__(
        self, host: str, *, credentials: Login | None = None, verify_host_ssl_cert: bool = True
    ) -> None:
        self.host = host.rstrip("/")
        self._verify_host_ssl_cert = verify_host_ssl_cert
        self._session = requests.Session()
        # As in the services, proxies of the environment and .netrc are not used.
        self._session.trust_env = False
        if verify_host_ssl_cert and self.host.lower().startswith("https:"):
            self._session.mount("https://", _SystemTrustAdapter())
        self._login = credentials

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    def check(self) -> None:
        """Checks that a CouchDB answers and accepts the credentials.

        Raises:
            CouchDBError: nothing answers, something else does, or the credentials are refused.
        """
        welcome = self.ask("GET", "")
        if not isinstance(welcome, dict) or "couchdb" not in welcome:
            raise TransportError("something that is not CouchDB answers")

    def ensure_exists(self, name: str, query: dict[str, str] | None = None) -> bool:
        """Creates a database unless it exists; returns whether this call did, and not another client."""
        try:
            self.ask("PUT", name, query=query)
        except ResponseError as error:
            if error.status != _ALREADY_EXISTS:
                raise
            return False
        return True

    def ask(
        self,
        method: str,
        *path: str,
        query: dict[str, str] | None = None,
        body: object = None,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> Any:
        """The decoded JSON of CouchDB's answer. `path` has the segments of the path, not yet quoted.

        Raises:
            TransportError: no connection, no answer within `read_timeout_s` seconds, or one that is not JSON.
            ResponseError: the answer's status is not 200, 201 or 202.
        """
        quoted = "/".join(quote(segment, safe="") for segment in path)
        return _decoded(self.request(method, quoted, params=query, json=body, read_timeout_s=read_timeout_s))

    def ask_for(
        self,
        answer_type: type[T],
        method: str,
        *path: str,
        query: dict[str, str] | None = None,
        body: object = None,
    ) -> T:
        """CouchDB's answer as an `answer_type`; see `ask`.

        Raises:
            TransportError: the answer is something else, so it is not CouchDB that answered.
        """
        answer = self.ask(method, *path, query=query, body=body)
        try:
            return msgspec.convert(answer, answer_type)
        except msgspec.ValidationError as error:
            raise TransportError(
                f"something that is not CouchDB answers {method} /{'/'.join(path)}: {error}"
            ) from error

    def fetch_document(self, database: str, document_id: str) -> Document | None:
        """The document; None if there is none. Raises as `ask_for` does."""
        try:
            document = self.ask_for(dict[str, Any], "GET", database, document_id)
            document_json.check_is_stored(document)
        except NotFoundError:
            return None
        except msgspec.ValidationError as error:
            raise TransportError(
                f"something that is not CouchDB answers GET /{database}/{document_id}: {error}"
            ) from error
        return document

    def request(
        self, method: str, path: str, *, read_timeout_s: float = _READ_TIMEOUT_S, **arguments: Any
    ) -> requests.Response:
        """CouchDB's answer, whatever its status. `path` is quoted, `arguments` are those of requests.

        Raises:
            TransportError: no connection, or no answer within `read_timeout_s` seconds.
        """
        send = functools.partial(self._send, method, path, read_timeout_s, **arguments)
        match self._login:
            case SessionLogin() as login:
                return self._in_a_session(login, send)
            case HeaderLogin() as login:
                return self._with_a_header(login, send)
        return send()

    def _in_a_session(self, login: SessionLogin, send: _Send) -> requests.Response:
        """The answer to the request, or to a login that failed. CouchDB renews sessions that are in use."""
        if _COOKIE in self._session.cookies:
            response = send()
            if response.status_code != 401:
                return response
            self._session.cookies.clear()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        logged_in = self._send("POST", "_session", _READ_TIMEOUT_S, data=login.form(), headers=headers)
        return send() if logged_in.ok and _COOKIE in self._session.cookies else logged_in

    def _with_a_header(self, login: HeaderLogin, send: _Send) -> requests.Response:
        """The answer; a request that is refused is sent again if its credentials were replaced meanwhile."""
        self._session.headers["Authorization"] = given = login.authorization()
        response = send()
        if response.status_code != 401 or (changed := login.authorization()) == given:
            return response
        self._session.headers["Authorization"] = changed
        return send()

    def _send(self, method: str, path: str, read_timeout_s: float, **arguments: Any) -> requests.Response:
        try:
            return self._session.request(
                method,
                f"{self.host}/{path}",
                timeout=(_CONNECT_TIMEOUT_S, read_timeout_s),
                allow_redirects=False,
                verify=self._verify_host_ssl_cert,
                **arguments,
            )
        except requests.RequestException as error:
            raise _translated(error, read_timeout_s) from error


class _SystemTrustAdapter(HTTPAdapter):
    """Trusts the authorities that Python's `ssl` trusts, as the services do.

    Those are the system's, or of SSL_CERT_FILE and SSL_CERT_DIR. By itself, requests has a list of its own.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Makes the pool of connections with Python's own context."""
        super().init_poolmanager(*arguments, **options, ssl_context=ssl.create_default_context())

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """Adds no authority to those of the context."""
        conn.cert_reqs = "CERT_REQUIRED"


def _translated(error: requests.RequestException, read_timeout_s: float) -> TransportError:
    match error:
        case requests.ReadTimeout():
            return TransportError(f"no answer within {read_timeout_s:g} s")
        case requests.exceptions.SSLError():
            return TransportError(
                "the server speaks no TLS, or its certificate is not trusted (SSL_CERT_FILE names a file of"
                " more authorities)"
            )
        case requests.ConnectionError():
            return TransportError("can't be reached: is CouchDB running there?")
        case _:
            return TransportError(f"can't be asked: {type(error).__name__}")


def _decoded(response: requests.Response) -> Any:
    try:
        answer = response.json()
    except (ValueError, RecursionError) as error:
        raise TransportError(f"something that is not CouchDB answers with {response.status_code}") from error
    if response.status_code in _SUCCESSES:
        return answer
    words = answer if isinstance(answer, dict) else {}
    raise ResponseError.for_status(
        response.status_code,
        str(words.get("error", "error")),
        one_line(words.get("reason", "no reason given")),
        method=str(response.request.method),
        path=response.request.path_url,
    )


def one_line(reason: object) -> str:
    """CouchDB's reason in one line; for a function that does not compile it has many."""
    return " ".join(str(reason).split())


# https://docs.couchdb.org/en/stable/api/database/common.html#put--db
_NAME = re.compile(r"[a-z][a-z0-9_$()+/-]*")

# Names hash evenly: this many find each of some hundred shards.
_MAX_PARTITIONS_TRIED = 2000


class AdminDatabase:
    """A database of a CouchDB, which need not exist.

    Raises:
        InstallerError: CouchDB does not allow such a name.
    """

    def __init__(self, server: AdminClient, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise InstallerError(
                f"database name '{name}': it must begin with a lower case letter and hold only lower case"
                " letters, digits and _ $ ( ) + - /"
            )
        self.server = server
        self.name = name

    def __str__(self) -> str:
        return f"database '{self.name}' on '{self.server.host}'"

    def exists(self) -> bool:
        """Whether the database exists."""
        try:
            self._description()
        except NotFoundError:
            return False
        return True

    def create(self, *, is_partitioned: bool = False) -> bool:
        """Creates the database; returns whether this call did, and not another client before."""
        query = {"partitioned": "true"} if is_partitioned else None
        return self.server.ensure_exists(self.name, query)

    def delete(self) -> None:
        """Deletes the database with all that is in it; one that does not exist is no error."""
        with suppress(NotFoundError):
            self.server.ask("DELETE", self.name)

    def is_partitioned(self) -> bool:
        """Whether the documents' ids begin with a partition."""
        return self._description().props.get("partitioned") is True

    def set_revs_limit(self, count: int) -> None:
        """Sets how many revisions of a document's history CouchDB remembers by name.

        https://docs.couchdb.org/en/stable/api/database/misc.html#put--db-_revs_limit
        """
        self.server.ask("PUT", self.name, "_revs_limit", body=count)

    def fetch(self, document_ids: Iterable[str]) -> dict[str, Document]:
        """Those of the documents that exist, by their ids."""
        query, body = {"include_docs": "true"}, {"keys": list(document_ids)}
        answer = self.server.ask_for(_Rows, "POST", self.name, "_all_docs", query=query, body=body)
        return {row.key: row.doc for row in answer.rows if row.doc is not None}

    def states(self, document_ids: Iterable[str]) -> dict[str, str]:
        """Which of the documents "exists", and which "was deleted", by their ids.

        Those that never existed are left out.
        """
        body = {"keys": list(document_ids)}
        answer = self.server.ask_for(_Rows, "POST", self.name, "_all_docs", body=body)
        return {
            row.key: "was deleted" if row.value.get("deleted") else "exists"
            for row in answer.rows
            if row.value is not None
        }

    def count_documents(self) -> int:
        """The number of documents, including design documents."""
        return self._description().doc_count

    def document_ids(self, after: str | None, limit: int) -> list[str]:
        """The ids of the first `limit` documents after the one with the id `after`, in CouchDB's order."""
        query = {"limit": str(limit + 1)}
        if after is not None:
            query["startkey"] = json.dumps(after)
        rows = self.server.ask_for(_Rows, "GET", self.name, "_all_docs", query=query).rows
        return [row.key for row in rows if row.key != after][:limit]

    def fetch_leaves(
        self,
        document_ids: Iterable[str],
        on_unreadable: Callable[[UnreadableDocumentError], None] | None = None,
    ) -> list[Document]:
        """All leaf revisions of the documents, tombstones included.

        Those that can't be decoded go to `on_unreadable`.

        Raises:
            UnreadableDocumentError: one can't be decoded, and there is no `on_unreadable`.

        https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-get
        """
        path = f"{quote(self.name, safe='')}/_bulk_get"
        body = {"docs": [{"id": document_id} for document_id in document_ids]}
        response = self.server.request("POST", path, json=body)
        if response.status_code not in _SUCCESSES:
            _decoded(response)
        try:
            results = [members(result) for result in elements(members(response.content)["results"])]
            leaves = [members(leaf) for result in results for leaf in elements(result["docs"])]
            outcomes = document_json.stored_apart(leaf["ok"] for leaf in leaves if "ok" in leaf)
        except (ValueError, KeyError, msgspec.ValidationError) as error:
            raise TransportError("something that is not CouchDB answers a _bulk_get") from error
        documents = []
        for each in outcomes:
            if not isinstance(each, UnreadableDocumentError):
                documents.append(each)
            elif on_unreadable is None:
                raise each
            else:
                on_unreadable(each)
        return documents

    def write(self, documents: Iterable[Document]) -> dict[str, str]:
        """Writes documents in one request; returns the reasons why CouchDB refused some, by their ids.

        https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-docs
        """
        body = {"docs": list(documents)}
        results = self.server.ask_for(list[_Written], "POST", self.name, "_bulk_docs", body=body)
        return {each.id: f"{each.error}: {one_line(each.reason)}" for each in results if each.error}

    def put_design_document(self, name: str, body: Document) -> str:
        """Creates a design document, whose functions CouchDB compiles; returns its revision."""
        return self.server.ask_for(_Revision, "PUT", self.name, "_design", name, body=body).rev

    def delete_design_document(self, name: str, revision: str) -> None:
        """Deletes a design document."""
        self.server.ask("DELETE", self.name, "_design", name, query={"rev": revision})

    def query_view(
        self, design_document: str, view: str, *, timeout_s: float, partition: str | None = None
    ) -> None:
        """Asks a view for a row. CouchDB answers once all indexes of its design document are built.

        With a partition it is only those of the partition's shard.

        Raises:
            TransportError: they are not built within `timeout_s` seconds. CouchDB goes on building.
        """
        query = {"limit": "1", "reduce": "false"}
        within = () if partition is None else ("_partition", partition)
        path = (self.name, *within, "_design", design_document, "_view", view)
        self.server.ask("GET", *path, query=query, read_timeout_s=timeout_s)

    def one_partition_per_shard(self) -> list[str]:
        """Names of partitions, of which each shard of a partitioned database has one.

        https://docs.couchdb.org/en/stable/api/database/shard.html
        """
        missing = set(self.server.ask_for(_Shards, "GET", self.name, "_shards").shards)
        partitions = []
        for number in range(_MAX_PARTITIONS_TRIED):
            if not missing:
                break
            partition = f"p{number}"
            shard = self.server.ask_for(_Shard, "GET", self.name, "_shards", f"{partition}:").range
            if shard in missing:
                missing.remove(shard)
                partitions.append(partition)
        return partitions

    def count_pending_updates(self, design_document: str) -> int:
        """The number of changes that the indexes of a design document have not processed yet."""
        path = (self.name, "_design", design_document, "_info")
        return self.server.ask_for(_DesignDocument, "GET", *path).view_index.updates_pending.total

    def _description(self) -> _Description:
        return self.server.ask_for(_Description, "GET", self.name)
