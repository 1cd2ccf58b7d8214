import enum
import json
import math
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tor_async_couchdb.model.canonical_json import LARGEST_EXACT_INTEGER, encode, is_plain

texts = st.text(st.characters(exclude_categories=["Cs"]))
ascii_texts = st.text(st.characters(codec="ascii"))
exact_integers = st.integers(-LARGEST_EXACT_INTEGER, LARGEST_EXACT_INTEGER)


def nested(scalars: st.SearchStrategy[Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda each: st.lists(each) | st.lists(each).map(tuple) | st.dictionaries(names, each),
        max_leaves=20,
    )


plain_values = nested(st.none() | st.booleans() | exact_integers | texts, ascii_texts)
any_values = nested(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.text() | ascii_texts
)


@given(plain_values)
@example({"\x7f": "\u2028\u2029", "": '\x00\b\t\n\f\r\x1f\x7f"\\/', "b": "\U0001f600e\u0301\ufffe"})
@example([LARGEST_EXACT_INTEGER, -LARGEST_EXACT_INTEGER, 0, True, False, None, [], {}, ()])
@settings(max_examples=300)
def test_plain_values_are_written_as_rfc_8785_demands_and_come_back_as_they_were(value: Any) -> None:
    assert is_plain(value)
    assert encode(value) == rfc8785.dumps(value)
    assert msgspec.json.decode(encode(value)) == json.loads(json.dumps(value))  # as tuples come back as lists


@given(any_values)
@example({"\U0001f600": 1, "\ufb33": 2})  # whose order by code points is not that by UTF-16
@example([1e21, 1e-7, -0.0, 1.0, 333333333.33333329, 5e-324])
@settings(max_examples=300)
def test_all_values_are_written_as_rfc_8785_demands_or_refused(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value)
    except ValueError as error:
        with pytest.raises(type(error)):
            encode(value)
    else:
        assert encode(value) == expected


class Color(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        *(1.5, 0.0, math.nan, LARGEST_EXACT_INTEGER + 1, -(2**53), "\ud800", Color.RED, b"a", {1: 2}),
        *({"\u00e9": 1}, {"a": {"\ud800": 1}}, {Color.RED: 1}, [1, [2.0]], {"a": (1, {2})}, object()),
    ],
)
def test_what_some_json_parser_changes_is_not_plain(value: Any) -> None:
    assert not is_plain(value)


def test_a_deep_value_is_an_error_of_its_own() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError):
        encode(value)
