from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_etcd.kv.keyset import EVERYTHING, KeySet, prefix_end
from tor_async_etcd.tests.amounts import examples

# Few different bytes, so that prefixes and range ends often meet.
KEYS = st.lists(st.sampled_from([0, 1, 0x61, 0xFE, 0xFF]), min_size=1, max_size=4).map(bytes)


@examples
@given(prefix=KEYS | st.just(b""), key=KEYS)
def test_prefix_holds_exactly_the_keys_that_start_with_it(prefix: bytes, key: bytes) -> None:
    assert (key in KeySet(prefix, prefix=True)) == key.startswith(prefix)


@examples
@given(start=KEYS, end=KEYS, key=KEYS)
def test_range_holds_its_start_and_not_its_end(start: bytes, end: bytes, key: bytes) -> None:
    if end == EVERYTHING:
        assert (key in KeySet(start, end)) == (key >= start)
    elif end > start:
        assert (key in KeySet(start, end)) == (start <= key < end)
    else:
        with pytest.raises(ValueError, match="not after its start"):
            KeySet(start, end)


@examples
@given(keys=st.lists(KEYS, min_size=1, max_size=3), prefixes=st.lists(KEYS, max_size=3), key=KEYS)
def test_covering_holds_what_any_part_holds(keys: list[bytes], prefixes: list[bytes], key: bytes) -> None:
    parts = [KeySet(key) for key in keys] + [KeySet(prefix, prefix=True) for prefix in prefixes]
    covering = KeySet.covering(parts)
    assert all(key in covering for part in parts if key in part)
    assert all(part.key in covering for part in parts)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", EVERYTHING), (b"", EVERYTHING), (b"a\x00", b"a\x01")],
)
def test_prefix_ends_before_the_next_prefix(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


def test_what_is_no_key_set_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        KeySet("a")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TypeError, match="bytes"):
        KeySet(b"a", "b")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TypeError, match="either"):
        KeySet(b"a", b"b", prefix=True)
    with pytest.raises(ValueError, match="no empty key"):
        KeySet(b"")


def test_equal_key_sets_are_one_in_a_set() -> None:
    assert len({KeySet(b"a", prefix=True), KeySet(b"a", b"b"), KeySet(b"a")}) == 2
