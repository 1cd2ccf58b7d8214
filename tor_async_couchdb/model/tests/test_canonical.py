from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.model.canonical import canonical, canonical_bytes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_the_canonical_form_is_equal_to_the_value_and_stays_as_it_is(value: object) -> None:
    assert canonical(value) == value
    assert canonical_bytes(canonical(value)) == canonical_bytes(value)


@given(st.dictionaries(st.text(max_size=3), JSON, min_size=2, max_size=4))
def test_the_order_of_names_does_not_show(value: dict[str, object]) -> None:
    other = dict(reversed(value.items()))
    assert canonical_bytes({"outer": [other]}) == canonical_bytes({"outer": [value]})


def test_integral_numbers_are_integers_as_long_as_these_are_exact() -> None:
    assert canonical_bytes([1.0, -0.0, 0.5, 1e15, 1e21, 2**60]) == (
        b"[1,0,0.5,1000000000000000,1e21,1152921504606846976]"
    )


def test_true_is_not_one() -> None:
    assert canonical_bytes([True, 1]) == b"[true,1]"
