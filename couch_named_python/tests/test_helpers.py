import pytest

import couch_named_python
from couch_named_python import emit, get_row, log, send, start


def test_helpers_outside_of_their_functions_say_where_they_belong() -> None:
    with pytest.raises(RuntimeError, match=r"emit\(\) is for map functions"):
        emit(1, 2)
    with pytest.raises(RuntimeError, match=r"start\(\) is for show and list functions"):
        start({})
    with pytest.raises(RuntimeError, match=r"send\(\) is for show and list functions"):
        send("")
    with pytest.raises(RuntimeError, match=r"get_row\(\) is for show and list functions"):
        get_row()


def test_without_a_query_server_the_log_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log({"a": 1})
    assert capsys.readouterr().err == "{'a': 1}\n"


def test_the_names_of_the_errors_that_existing_views_import_are_there() -> None:
    assert couch_named_python.Forbidden is couch_named_python.ForbiddenError
    assert couch_named_python.Unauthorized is couch_named_python.UnauthorizedError
    assert couch_named_python.UnauthorisedError is couch_named_python.UnauthorizedError
