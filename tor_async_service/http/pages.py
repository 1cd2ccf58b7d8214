"""Lists of models: a page with a link to the next one, or all of them as a stream."""

import base64
import urllib.parse
from typing import Any

import msgspec
import tornado.web

from tor_async_couchdb.actions.retrieve import Cursor

MAX_PAGE_SIZE = 1000
STREAMED_PAGE_SIZE = 500
CURSOR_PATTERN = r"^[A-Za-z0-9_-]+={0,2}$"
_MAX_CURSOR_SIZE = 32_768  # characters; Tornado refuses a header of 65,536


def page_size_of(text: str) -> int:
    """The size of a page that a client asks for; 400 if it is not a number from 1 to `MAX_PAGE_SIZE`."""
    is_short_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE_SIZE))
    if not (is_short_number and 1 <= int(text) <= MAX_PAGE_SIZE):
        raise tornado.web.HTTPError(400, f"limit must be a number from 1 to {MAX_PAGE_SIZE}.")
    return int(text)


def text_of_cursor(cursor: Cursor) -> str:
    """An opaque text for a client to send back: a key keeps its JSON type in it."""
    return base64.urlsafe_b64encode(msgspec.json.encode([cursor.key, cursor.document_id])).decode()


def cursor_of(text: str) -> Cursor:
    """The cursor of a text that `text_of_cursor` made; 400 if it is another text."""
    try:
        if len(text) > _MAX_CURSOR_SIZE:
            raise ValueError("too long")  # noqa: TRY301 - answered like all other wrong texts
        decoded = base64.b64decode(text, altchars=b"-_", validate=True)
        cursor = Cursor(*msgspec.json.decode(decoded, type=tuple[Any, str]))
        text_of_cursor(cursor)  # a number may be too large to be sent to CouchDB
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise tornado.web.HTTPError(400, "start must be taken from the link to the next page.") from error
    return cursor


def link_to_next(path: str, limit: int, cursor: Cursor) -> str:
    """The value of a Link header (RFC 8288) for the next page."""
    query = urllib.parse.urlencode({"limit": limit, "start": text_of_cursor(cursor)})
    return f'<{path}?{query}>; rel="next"'
