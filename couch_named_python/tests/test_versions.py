from typing import Any

from couch_named_python import get_version, version


def test_a_version_marks_the_function_itself() -> None:
    def function(doc: Any) -> None:
        """Do nothing."""

    assert get_version(function) is None
    assert version(123)(function) is function
    assert get_version(function) == 123
    assert function.__doc__ == "Do nothing."
