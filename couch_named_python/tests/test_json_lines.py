import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couch_named_python.errors import QueryServerError
from couch_named_python.json_lines import decode, encode, encode_text_line, number

FINITE = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
NON_FINITE = st.sampled_from([float("nan"), float("inf"), float("-inf")])


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )


@given(value=nested(FINITE))
def test_what_is_encoded_is_one_line_of_the_same_json(value: Any) -> None:
    line = encode(value)
    assert b"\n" not in line
    assert json.loads(line) == json.loads(json.dumps(value))
    assert decode(line) == json.loads(line)


@given(before=nested(FINITE), value=NON_FINITE, after=nested(FINITE))
def test_a_number_without_a_json_form_is_refused_wherever_it_is(
    before: Any, value: float, after: Any
) -> None:
    for whole in (value, [before, value, after], {"a": {"b": (value,)}, "c": before}):
        with pytest.raises(QueryServerError, match="has no JSON form"):
            encode(whole)


@pytest.mark.parametrize(
    "value", ["\ud800", {"\udfff": 1}, object(), {(1, 2): 3}, 10**5000], ids=["a", "b", "c", "d", "e"]
)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(QueryServerError, match="not JSON"):
        encode(value)


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(QueryServerError, match="recursion"):
        encode(deep)


@given(text=st.text(alphabet=st.characters(categories=["Cs", "Cc", "Ll"])))
def test_any_text_can_be_logged(text: str) -> None:
    label, logged = json.loads(encode_text_line("log", text))
    assert label == "log"
    assert len(logged) == len(text)


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (2.5, 2.5), (True, 1), ("3", 1), (None, 1), ([], 1)])
def test_only_a_number_is_a_number(value: Any, expected: float) -> None:
    assert number(value, 1) == expected
