"""The exceptions of design functions, and how the query server answers each of them.

QueryServerError        an error for this request; the query server goes on
├── FatalError          an error after which the query server ends
├── InvalidJSONError    500: a result that JSON has no form for
├── NotFoundError       404, from shows and lists
├── ForbiddenError      403, from validate_doc_update
└── UnauthorizedError   401, from validate_doc_update
Redirect                not an error: 302 or 301, from shows and lists
TimeLimitError          interrupts a function that runs for too long
"""


class QueryServerError(Exception):
    """Answered as ``["error", name, reason]``; CouchDB keeps the query server.

    CouchDB shows ``name`` as ``error`` in its response. A few names have a status of their own, such as
    "not_found", "forbidden" and "unauthorized". Every other name is a 500.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


class FatalError(QueryServerError):
    """Answered as ``["fatal", name, reason]``; the query server ends and CouchDB starts another."""


class InvalidJSONError(QueryServerError):
    """A design function's result holds something that JSON has no form for, such as a set or NaN."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid_json", f"not JSON: {reason}")


class NotFoundError(QueryServerError):
    """The response to a show or list is 404 Not Found."""

    def __init__(self, reason: str = "document not found") -> None:
        super().__init__("not_found", reason)


class ForbiddenError(QueryServerError):
    """The document must not be written as it is: 403 Forbidden."""

    def __init__(self, reason: str) -> None:
        super().__init__("forbidden", reason)


class UnauthorizedError(QueryServerError):
    """The document must not be written by this user: 401 Unauthorized."""

    def __init__(self, reason: str) -> None:
        super().__init__("unauthorized", reason)


class Redirect(Exception):  # noqa: N818 -- no error, and a name that existing views import
    """The response to a show or list is a redirect to ``url``: 302, or 301 if it is permanent."""

    def __init__(self, url: str, permanent: bool = False) -> None:
        super().__init__(url)
        self.url = url
        self.permanent = permanent

    @property
    def response(self) -> dict[str, object]:
        """The redirect as CouchDB's response object."""
        return {"code": 301 if self.permanent else 302, "headers": {"Location": self.url}}


class TimeLimitError(BaseException):
    """Raised inside a design function that runs for too long.

    It is a BaseException so that an ``except Exception`` in the function doesn't swallow it.
    """
