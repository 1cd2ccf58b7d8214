import pytest

from couch_named_python import errors


@pytest.mark.parametrize(
    ("error", "name", "reason"),
    [
        (errors.QueryServerError("a", "b"), "a", "b"),
        (errors.FatalError("a", "b"), "a", "b"),
        (errors.NotFoundError(), "not_found", "document not found"),
        (errors.NotFoundError("no such list"), "not_found", "no such list"),
        (errors.ForbiddenError("bad doc"), "forbidden", "bad doc"),
        (errors.UnauthorizedError("who?"), "unauthorized", "who?"),
    ],
)
def test_an_error_has_the_name_and_reason_that_couchdb_shows(
    error: errors.QueryServerError, name: str, reason: str
) -> None:
    assert (error.name, error.reason, str(error)) == (name, reason, reason)


def test_a_redirect_is_temporary_unless_it_is_permanent() -> None:
    assert errors.Redirect("/a").response == {"code": 302, "headers": {"Location": "/a"}}
    assert errors.Redirect("/a", permanent=True).response == {"code": 301, "headers": {"Location": "/a"}}
