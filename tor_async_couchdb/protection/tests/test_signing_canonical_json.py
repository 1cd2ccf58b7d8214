"""The bytes that signatures cover, compared with those of the reference implementation, rfc8785."""

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tor_async_couchdb.model.canonical import LARGEST_EXACT_INTEGER, is_plain
from tor_async_couchdb.protection.signing import canonical_json

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
def test_plain_values_are_encoded_as_rfc_8785_says_and_survive_it(value: Any) -> None:
    assert is_plain(value)
    assert canonical_json(value) == rfc8785.dumps(value)
    assert msgspec.json.decode(canonical_json(value)) == json.loads(json.dumps(value))  # tuples become lists


@given(any_values)
@example({"\U0001f600": 1, "\ufb33": 2})  # their order by code points is not that by UTF-16
@example([1e21, 1e-7, -0.0, 1.0, 333333333.33333329, 5e-324])
@settings(max_examples=300)
def test_all_values_are_encoded_as_rfc_8785_says_or_refused(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value)
    except ValueError as error:
        with pytest.raises(type(error)):
            canonical_json(value)
    else:
        assert canonical_json(value) == expected


def test_value_that_is_nested_too_deep_is_a_recursion_error() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError):
        canonical_json(value)
