import enum
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.model.canonical import LARGEST_EXACT_INTEGER, canonical, canonical_bytes, is_plain

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_canonical_form_equals_the_value_and_is_its_own_canonical_form(value: object) -> None:
    assert canonical(value) == value
    assert canonical_bytes(canonical(value)) == canonical_bytes(value)


@given(st.dictionaries(st.text(max_size=3), JSON, min_size=2, max_size=4))
def test_order_of_names_makes_no_difference(value: dict[str, object]) -> None:
    other = dict(reversed(value.items()))
    assert canonical_bytes({"outer": [other]}) == canonical_bytes({"outer": [value]})


def test_integral_number_is_an_integer_if_it_is_exact() -> None:
    assert canonical_bytes([1.0, -0.0, 0.5, 1e15, 1e21, 2**60]) == (
        b"[1,0,0.5,1000000000000000,1e21,1152921504606846976]"
    )


def test_true_is_not_one() -> None:
    assert canonical_bytes([True, 1]) == b"[true,1]"


class Color(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        *(1.5, 0.0, math.nan, LARGEST_EXACT_INTEGER + 1, -(2**53), "\ud800", Color.RED, b"a", {1: 2}),
        *({"\u00e9": 1}, {"a": {"\ud800": 1}}, {Color.RED: 1}, [1, [2.0]], {"a": (1, {2})}, object()),
    ],
)
def test_value_that_some_json_parser_changes_is_not_plain(value: Any) -> None:
    assert not is_plain(value)
