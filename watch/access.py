"""Who may ask this service for what.

Every page that is open in a browser can send requests to the loopback address, and forms need no permission
for it. So each request has to be for this machine by name and from this service's own page; and a change
needs a JSON content type, which a form can't have, and a token that only the service's own page knows.
"""

import hmac

import tornado.web
from tornado.httputil import HTTPServerRequest

from tor_async_service.http.same_origin import check_same_origin

TOKEN_HEADER = "X-Watch-Token"  # noqa: S105 - the name of the header, not the token
_READING = ("GET", "HEAD")


def check_access(request: HTTPServerRequest, token: str) -> None:
    """Returns if the request may be answered.

    Raises:
        tornado.web.HTTPError: 403 or 415; it may not.
    """
    check_same_origin(request)
    if request.method in _READING:
        return
    given = request.headers.get(TOKEN_HEADER, "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise tornado.web.HTTPError(403, f"A change needs the header {TOKEN_HEADER} of the page.")
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise tornado.web.HTTPError(415, "A change must be application/json.")
