"""A database as somebody with curl and the administrator's password uses it: without the library's rules."""

import contextlib
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

import aiohttp
import msgspec

from tor_async_couchdb.wire import document_json
from tor_async_couchdb.wire.document_json import UnreadableDocumentError
from tor_async_couchdb.wire.json_parts import elements, members

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_MORE = 20

Document = dict[str, Any]


class PlainDatabaseError(Exception):
    """CouchDB refused a request, or did not answer."""


class MissingError(PlainDatabaseError):
    """There is no such document."""


class PlainDatabase:
    """The database at `url`. Its methods raise PlainDatabaseError.

    Lists leave out documents that can't be decoded.
    """

    def __init__(
        self, url: str, session: aiohttp.ClientSession, *, username: str | None, password: str | None
    ) -> None:
        self._url = url
        self._session = session
        self._headers = {"Accept": "application/json"}
        if username is not None:
            self._headers["Authorization"] = aiohttp.encode_basic_auth(username, password or "")

    async def get(self, document_id: str, **options: str) -> Document:
        """The winning revision of a document; MissingError if there is none."""
        documents = _documents([await self._ask("GET", _quoted(document_id), options)])
        if not documents:
            raise PlainDatabaseError("The document can't be decoded: it is nested too deeply.")
        return documents[0]

    async def leaves(self, document_id: str) -> list[Document]:
        """All leaf revisions of a document, with their `_revisions`; MissingError if there are none."""
        text = await self._ask("GET", _quoted(document_id), {"open_revs": "all", "revs": "true"})
        with _decoding():
            return _documents(_texts(elements(text), "ok"))

    async def put(self, document: Document) -> None:
        """Writes a document whose `_rev` is the current one."""
        await self._ask("PUT", _quoted(document["_id"]), body=document)

    async def delete(self, document: Document) -> None:
        """Deletes a document."""
        await self._ask("DELETE", _quoted(document["_id"]), {"rev": document["_rev"]})

    async def fruit(self, fruit_id: str) -> Document:
        """The document of a fruit; MissingError if there is none."""
        options = {"key": msgspec.json.encode(fruit_id).decode(), "include_docs": "true"}
        text = await self._ask("GET", "_design/fruit_by_fruit_id/_view/fruit_by_fruit_id", options)
        with _decoding():
            documents = _documents(_texts(elements(members(text)["rows"]), "doc"))
        if not documents:
            raise MissingError("There is no such fruit in the database.")
        return documents[0]

    async def recent(self, limit: int) -> list[Document]:
        """About the documents that were changed last, with their `_conflicts`; the latest `updated_on` first.

        CouchDB's feed is in order within each shard only, so a few more are asked for.
        """
        count = str(limit + _MORE)
        options = {"include_docs": "true", "conflicts": "true", "descending": "true", "limit": count}
        text = await self._ask("GET", "_changes", options)
        with _decoding():
            documents = _documents(_texts(elements(members(text)["results"]), "doc"))
        own = [
            document
            for document in documents
            if not document["_id"].startswith("_design/") and not document.get("_deleted")
        ]
        return sorted(own, key=lambda document: str(document.get("updated_on")), reverse=True)[:limit]

    async def _ask(
        self, method: str, path: str, options: dict[str, str] | None = None, body: Document | None = None
    ) -> bytes:
        url = f"{self._url}/{path}?{urllib.parse.urlencode(options or {})}"
        try:
            async with self._session.request(
                method, url, json=body, headers=self._headers, timeout=_TIMEOUT
            ) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PlainDatabaseError("The database can't be reached.") from error
        if answer.status == 404:
            raise MissingError("There is no such document.")
        if answer.status >= 400:
            raise PlainDatabaseError(f"The database answered {answer.status} to a {method}.")
        return text


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    """Makes a PlainDatabaseError of an answer that is not CouchDB's."""
    try:
        yield
    except (ValueError, KeyError, msgspec.ValidationError) as error:
        raise PlainDatabaseError("The database's answer can't be decoded.") from error


def _texts(objects: Iterable[bytes], name: str) -> list[bytes]:
    """The members of this name, as JSON, of those of the objects that have one."""
    found = [members(text).get(name, b"null") for text in objects]
    return [text for text in found if text.strip() != b"null"]


def _documents(texts: Iterable[bytes]) -> list[Document]:
    """The stored documents; those that can't be decoded are left out."""
    with _decoding():
        outcomes = document_json.stored_apart(texts)
    return [each for each in outcomes if not isinstance(each, UnreadableDocumentError)]


def _quoted(document_id: str) -> str:
    return urllib.parse.quote(document_id, safe="")
