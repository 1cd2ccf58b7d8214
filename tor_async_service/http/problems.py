"""Errors as HTTP answers: one table from error to status, and one form (RFC 9457, problem details)."""

import dataclasses
import http
import math
from collections.abc import Mapping

import tornado.web

from tor_async_couchdb import errors

CONTENT_TYPE = "application/problem+json"

# Says that the change may have been made, so that a client must not simply repeat it.
OUTCOME_UNKNOWN = "urn:problem-type:outcome-unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """An answer that says what went wrong; `detail` is for people."""

    status: int
    detail: str
    type: str = "about:blank"
    retry_after_s: float = 1.0  # sent with a 503

    def body(self) -> dict[str, object]:
        """The members of the problem details object."""
        title = http.HTTPStatus(self.status).phrase
        return {"type": self.type, "title": title, "status": self.status, "detail": self.detail}

    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {"Retry-After": str(_whole_seconds(self.retry_after_s))} if self.status == 503 else {}


def _whole_seconds(retry_after_s: float) -> int:
    """No more than an hour, whatever an error asks for; a second if that is no number."""
    if math.isnan(retry_after_s):
        return 1
    return math.ceil(min(max(0.0, retry_after_s), errors.MAX_RETRY_AFTER_S))


_LOST_RACE = Problem(
    409,
    "Another client changed it at the same time. Read it again, and repeat the change if it is still wanted.",
)
_CHANGED = Problem(
    412,
    "This has changed since you have seen it. Read it again, and repeat the change if it is still wanted.",
)
_ERASED = Problem(410, "The data of the person that this is about has been erased.")
_REUSED = Problem(422, "This Idempotency-Key stands for another change. Send a new one with a new change.")
_KEYS_FULL = Problem(
    503, "This was changed too often in the last minutes. Try again later, with the same key."
)
_TOO_LARGE = Problem(413, "This is larger than the database accepts.")
_MISFIT = Problem(502, "The document in the database has a form that the service can't read.")
_GONE = Problem(503, "The service's database, or one of its views, is gone.")
_REFUSED = Problem(503, "The database refuses the service's credentials.")
_UNKNOWN = Problem(
    503,
    "The database did not say whether the change was made. Read it again before you repeat the change.",
    OUTCOME_UNKNOWN,
)
_UNREACHABLE = Problem(503, "The database can't be reached or is too slow. Try again later.")
_NO_KEYS = Problem(503, "The encryption keys can't be read at the moment. Try again later.")
_TOO_BUSY = Problem(503, "The service is overloaded. Try again later.")
_UNABLE = Problem(503, "The database failed. Try again later.")
_UNEXPECTED = Problem(500, "The service has an internal error.")

# The first matching class decides.
_TABLE: tuple[tuple[type[Exception], Problem], ...] = (
    (errors.ConflictError, _LOST_RACE),
    (errors.ChangedError, _CHANGED),
    (errors.KeyReusedError, _REUSED),
    (errors.KeysFullError, _KEYS_FULL),
    (errors.SubjectErasedError, _ERASED),
    (errors.TooLargeError, _TOO_LARGE),
    (errors.InvalidDocumentError, _MISFIT),
    (errors.NotFoundError, _GONE),
    (errors.UnauthorizedError, _REFUSED),
    (errors.ForbiddenError, _REFUSED),
    (errors.OutcomeUnknownError, _UNKNOWN),
    (errors.TransportError, _UNREACHABLE),
    (errors.DataKeyError, _NO_KEYS),
    (errors.HashingError, _TOO_BUSY),
    (errors.CouchDBError, _UNABLE),
)


# What handlers answer with HTTPErrors, and the problems that name a document or have a reason.
_OTHER_DETAILS = {
    400: "The request is wrong: the detail says in what.",
    403: "The database refuses this: the detail has the reason.",
    404: "There is nothing at this path.",
    413: "The body is too large.",
    415: "The body must be application/json, in UTF-8.",
    502: "A document was tampered with in the database, so it is not shown.",
}


def details_by_status(own: Mapping[type[Exception], Problem]) -> dict[int, list[str]]:
    """What a service's problems say, by their status. `own` are the problems of its own errors."""
    details: dict[int, list[str]] = {}
    for status, detail in _OTHER_DETAILS.items():
        details.setdefault(status, []).append(detail)
    for problem in (*own.values(), *(problem for _, problem in _TABLE), _UNEXPECTED):
        known = details.setdefault(problem.status, [])
        if problem.detail not in known:
            known.append(problem.detail)
    return dict(sorted(details.items()))


def problem_of(error: BaseException | None, own: Mapping[type[Exception], Problem] | None = None) -> Problem:
    """The answer to a request that ended with an error.

    `own` are the problems of one service's own errors.
    """
    if isinstance(error, tornado.web.HTTPError):
        title = http.HTTPStatus(error.status_code).phrase
        return Problem(error.status_code, error.get_message() or title)
    if isinstance(error, errors.TamperedError):
        detail = f"Document {error.document_id!r} was tampered with in the database, so it is not shown."
        return Problem(502, detail)
    if isinstance(error, errors.DocumentRefusedError):
        return Problem(403, f"The database refuses this: {error.reason}")
    for error_class, problem in (*(own or {}).items(), *_TABLE):
        if isinstance(error, error_class):
            asked_for_s = error.retry_after_s if isinstance(error, errors.CouchDBError) else 0.0
            return dataclasses.replace(problem, retry_after_s=max(problem.retry_after_s, asked_for_s))
    return _UNEXPECTED
