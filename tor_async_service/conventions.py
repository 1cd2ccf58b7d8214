"""What OpenTelemetry's conventions call a request's method and route.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/. Both have few values, whatever clients send, so
metrics have few time series.
"""

import inspect
import re

import tornado.web

OTHER_METHOD = "_OTHER"
# RFC 9110 and, for PATCH, RFC 5789.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_VERBS = ("get", "put", "post", "patch", "delete")

_OPTIONAL = re.compile(r"\(\?:[^()]*\)\?")
_GROUP = re.compile(r"\((?:\?P<(\w+)>)?[^()]*\)")
_ESCAPED = re.compile(r"\\(\W)")


def known_method(method: str | None) -> str:
    """The method, or `_OTHER` if HTTP has none of this name."""
    return method if method in _METHODS else OTHER_METHOD


def route_of(pattern: str, handler_class: type[tornado.web.RequestHandler]) -> str:
    """The template of a route: `/v1.0/fruits/{fruit_id}` for `/v1\\.0/fruits/([0-9a-f]{32})`.

    Groups without a name have that of the handler's argument. Optional parts of the path are left out.
    """
    names = iter(_argument_names(handler_class))
    pattern = _OPTIONAL.sub("", pattern.removesuffix("$"))
    template = _GROUP.sub(lambda group: f"{{{group[1] or next(names, 'value')}}}", pattern)
    return _ESCAPED.sub(r"\1", template)


def _argument_names(handler_class: type[tornado.web.RequestHandler]) -> list[str]:
    """The names of the arguments that the handler's methods take from the path."""
    for verb in _VERBS:
        method = getattr(handler_class, verb)
        if method is not getattr(tornado.web.RequestHandler, verb):
            return [*inspect.signature(method).parameters][1:]  # without self
    return []
