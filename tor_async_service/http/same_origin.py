"""Requests that only this machine's own pages may send.

Every page that is open in a browser can send requests to the loopback address. `Host` shows a page whose name
was re-bound to it (DNS rebinding); `Origin` and `Sec-Fetch-Site` show a page from elsewhere.
"""

import re

import tornado.web
from tornado.httputil import HTTPServerRequest

_LOCAL_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?\Z")
_SCHEMES = ("http", "https")
_OWN = ("same-origin", "none")


def check_same_origin(request: HTTPServerRequest) -> None:
    """Returns if the request is for this machine by name, and from no page or from one of this service.

    Raises:
        tornado.web.HTTPError: 403; it is not.
    """
    if not _LOCAL_HOST.match(request.headers.get("Host", "")):
        raise tornado.web.HTTPError(403, "Ask for 127.0.0.1 or localhost: another Host is refused.")
    origin = request.headers.get("Origin")
    if origin is not None and origin not in [f"{scheme}://{request.headers['Host']}" for scheme in _SCHEMES]:
        raise tornado.web.HTTPError(403, "A page of another origin must not ask this.")
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN:
        raise tornado.web.HTTPError(403, "A page of another site must not ask this.")
