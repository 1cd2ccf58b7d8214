from collections.abc import Callable

import pytest

from tor_async_couchdb import errors
from tor_async_couchdb.errors import CouchDBError, InvalidDocumentError, ResponseError


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (413, errors.TooLargeError),
        (302, ResponseError),
        (400, ResponseError),
        (412, ResponseError),
        (429, ResponseError),
        (500, ResponseError),
        (503, ResponseError),
    ],
)
def test_status_decides_the_class_of_the_error(status: int, error_class: type[ResponseError]) -> None:
    error = ResponseError.for_status(status, "words", "of CouchDB", method="PUT", path="/db/a")
    assert type(error) is error_class
    assert (error.status, error.error, error.reason) == (status, "words", "of CouchDB")
    assert (error.method, error.path) == ("PUT", "/db/a")
    assert str(error) == f"CouchDB answered PUT /db/a with {status} words: of CouchDB"


def test_all_errors_are_in_one_tree_and_in_its_drawing() -> None:
    names = [name for name in vars(errors) if name.endswith("Error")]
    assert len(names) > 10
    for name in names:
        assert issubclass(getattr(errors, name), CouchDBError)
        assert f" {name} " in str(errors.__doc__).replace("\n", " \n")
    assert issubclass(errors.OutcomeUnknownError, errors.TransportError)
    assert issubclass(errors.ConnectError, errors.TransportError)


def test_error_about_a_document_names_it_and_the_property() -> None:
    assert str(InvalidDocumentError("is odd")) == "document: is odd"
    assert str(InvalidDocumentError("is odd", document_id="a")) == "document 'a': is odd"
    error = InvalidDocumentError("is odd", document_id="a", property_name="color")
    assert str(error) == "property 'color' of document 'a': is odd"
    assert (error.document_id, error.property_name, error.reason) == ("a", "color", "is odd")


@pytest.mark.parametrize(
    ("error_class", "message"),
    [
        (errors.TamperedError, "tampering detected in document 'a'"),
        (errors.SubjectErasedError, "the subject of document 'a' has been erased"),
        (errors.NotYetReplicatedError, "document 'a' lacks changes that another master has merged"),
    ],
)
def test_error_about_the_content_of_a_document_names_the_document(
    error_class: Callable[[str], CouchDBError], message: str
) -> None:
    error = error_class("a")
    assert str(error) == message
    assert vars(error)["document_id"] == "a"
