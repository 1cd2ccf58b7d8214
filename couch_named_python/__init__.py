"""CouchDB views, filters and validation written in Python, run by name.

A design document names a function, ``mypkg.views.townmap|123``, and the query server
``couch-named-python`` runs it. The names below are what such functions and their tests import.
"""

from couch_named_python.errors import (
    FatalError,
    ForbiddenError,
    InvalidJSONError,
    NotFoundError,
    QueryServerError,
    Redirect,
    TimeLimitError,
    UnauthorizedError,
)
from couch_named_python.helpers import emit, get_row, log, send, start
from couch_named_python.versions import get_version, version

Forbidden = ForbiddenError
Unauthorized = UnauthorisedError = UnauthorizedError

__all__ = [
    "FatalError",
    "Forbidden",
    "ForbiddenError",
    "InvalidJSONError",
    "NotFoundError",
    "QueryServerError",
    "Redirect",
    "TimeLimitError",
    "UnauthorisedError",
    "Unauthorized",
    "UnauthorizedError",
    "emit",
    "get_row",
    "get_version",
    "log",
    "send",
    "start",
    "version",
]
