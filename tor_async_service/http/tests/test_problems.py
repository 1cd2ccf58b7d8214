import math

import pytest
import tornado.web

from tor_async_couchdb import errors
from tor_async_service.http.problems import OUTCOME_UNKNOWN, Problem, problem_of


def response_error(status: int) -> errors.ResponseError:
    return errors.ResponseError.for_status(status, "e", "secret words", method="GET", path="/db/secret")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (response_error(409), 409),
        (response_error(413), 413),
        (errors.InvalidDocumentError("secret", document_id="secret"), 502),
        (errors.SubjectErasedError("secret"), 410),
        (errors.DataKeyError("secret"), 503),
        (errors.HashingError("secret"), 503),
        (response_error(404), 503),
        (response_error(401), 503),
        (response_error(403), 503),
        (errors.TransportError("secret"), 503),
        (errors.ConnectError("secret"), 503),
        (errors.OutcomeUnknownError("secret"), 503),
        (response_error(400), 503),
        (response_error(429), 503),
        (response_error(500), 503),
        (errors.CouchDBError("secret"), 503),
        (ZeroDivisionError("secret"), 500),
        (None, 500),
    ],
)
def test_every_error_is_a_problem_that_gives_no_secret_away(error: Exception | None, status: int) -> None:
    problem = problem_of(error)
    assert problem.status == status
    body = problem.body()
    assert body["status"] == status
    assert body["title"]
    assert str(body["detail"]).endswith(".")
    assert "secret" not in str(body)
    assert problem.headers() == ({"Retry-After": "1"} if status == 503 else {})


def test_reasons_for_a_503_have_different_details() -> None:
    troubles = [response_error(404), response_error(401), errors.TransportError("x"), response_error(500)]
    assert len({problem_of(trouble).detail for trouble in troubles}) == 4


@pytest.mark.parametrize("thrown", ["forbidden", "unauthorized"])
def test_refusal_by_a_validation_function_is_403_with_its_reason(thrown: str) -> None:
    error = errors.DocumentRefusedError(thrown, "too sour", document_id="a")
    problem = problem_of(error)
    assert (problem.status, problem.detail) == (403, "The database refuses this: too sour")
    assert problem.headers() == {}


def test_document_that_was_tampered_with_is_named() -> None:
    problem = problem_of(errors.TamperedError("e370582d"))
    assert problem.status == 502
    assert "Document 'e370582d'" in problem.detail


def test_unknown_outcome_has_a_type_of_its_own() -> None:
    assert problem_of(errors.OutcomeUnknownError("x")).body()["type"] == OUTCOME_UNKNOWN
    assert problem_of(errors.TransportError("x")).body()["type"] == "about:blank"


def test_handlers_own_words_are_the_detail() -> None:
    problem = problem_of(tornado.web.HTTPError(400, "limit has to be 50% of %s"))
    assert (problem.status, problem.detail) == (400, "limit has to be 50% of %s")


def test_error_without_words_has_those_of_its_status() -> None:
    assert problem_of(tornado.web.HTTPError(404)).body() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
    }


@pytest.mark.parametrize(("asked_for_s", "said"), [(0.0, "1"), (0.2, "1"), (20.0, "20"), (20.5, "21")])
def test_client_is_asked_to_wait_as_long_as_couchdb_asked_for(asked_for_s: float, said: str) -> None:
    error = errors.ResponseError(503, "busy", "later", method="GET", path="/")
    error.retry_after_s = asked_for_s
    assert problem_of(error).headers() == {"Retry-After": said}


@pytest.mark.parametrize(
    ("asked_for_s", "header"),
    [
        (0.0, "1"),
        (1.2, "2"),
        (3600.5, "3600"),
        (1e300, "3600"),
        (math.inf, "3600"),
        (-math.inf, "1"),
        (math.nan, "1"),
    ],
)
def test_retry_after_is_a_number_of_seconds_that_a_client_can_wait(asked_for_s: float, header: str) -> None:
    for error in (errors.KeysFullError(asked_for_s), errors.CouchDBError("x"), response_error(429)):
        error.retry_after_s = asked_for_s
        assert problem_of(error).headers() == {"Retry-After": header}
    later = Problem(503, "Later.", retry_after_s=asked_for_s)
    own: dict[type[Exception], Problem] = {ZeroDivisionError: later}
    own_header = "0" if asked_for_s <= 0 else header
    assert problem_of(ZeroDivisionError(), own).headers() == {"Retry-After": own_header}
