from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_etcd.maps.codecs import (
    BinaryCodec,
    CborCodec,
    JsonCodec,
    KeyCodec,
    OidCodec,
    PairCodec,
    PickleCodec,
    SlotCodec,
    StringCodec,
    UuidCodec,
    UuidSetCodec,
)
from tor_async_etcd.tests.amounts import examples

# Bytes around those that the pairs escape, so that mistakes there show.
BYTES = st.lists(st.sampled_from([0, 1, 2, 0x61, 0xFF])).map(bytes)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\1a"))
OIDS = st.integers(0, 2**53)
SLOTS = st.integers(0, 2**16 - 1)
UUIDS = st.uuids()

PAIR = PairCodec(BinaryCodec(), BinaryCodec())
KEYS: list[tuple[KeyCodec[Any], st.SearchStrategy[Any]]] = [
    (StringCodec(), TEXTS),
    (BinaryCodec(), BYTES),
    (OidCodec(), OIDS),
    (SlotCodec(), SLOTS),
    (UuidCodec(), UUIDS),
    (PairCodec(StringCodec(), BinaryCodec()), st.tuples(TEXTS, BYTES)),
    (PairCodec(BinaryCodec(), StringCodec()), st.tuples(BYTES, TEXTS)),
    (PairCodec(UuidCodec(), StringCodec()), st.tuples(UUIDS, TEXTS)),
    (PairCodec(SlotCodec(), UuidCodec()), st.tuples(SLOTS, UUIDS)),
    (PairCodec(PAIR, BinaryCodec()), st.tuples(st.tuples(BYTES, BYTES), BYTES)),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def identity(item: Any) -> Any:
    return item


@examples
@given(data=st.data())
@pytest.mark.parametrize(
    ("codec", "keys"),
    KEYS,
    ids=[type(codec).__name__ + str(number) for number, (codec, _) in enumerate(KEYS)],
)
def test_key_comes_back_and_keeps_its_order(
    codec: KeyCodec[Any], keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    one, other = data.draw(keys), data.draw(keys)
    assert codec.decode(codec.encode(one)) == one
    assert (codec.encode(one) < codec.encode(other)) == (one < other)
    if codec.size_bytes is not None:
        assert len(codec.encode(one)) == codec.size_bytes


@examples
@given(first=BYTES, second=BYTES, other=BYTES)
def test_prefix_is_that_of_pairs_with_this_first_alone(first: bytes, second: bytes, other: bytes) -> None:
    assert PAIR.encode((first, second)).startswith(PAIR.prefix(first))
    assert PAIR.encode((other, second)).startswith(PAIR.prefix(first)) == (other == first)


@examples
@given(item=JSON)
def test_json_and_cbor_and_pickle_come_back(item: Any) -> None:
    for codec in (JsonCodec(identity, identity), CborCodec(identity, identity), PickleCodec()):
        assert codec.decode(codec.encode(item)) == item


@examples
@given(uuids=st.sets(UUIDS))
def test_set_of_uuids_comes_back(uuids: set[UUID]) -> None:
    assert UuidSetCodec().decode(UuidSetCodec().encode(uuids)) == uuids


def test_false_keys_and_values_are_kept() -> None:
    assert StringCodec().decode(StringCodec().encode("")) == ""
    assert OidCodec().decode(OidCodec().encode(0)) == 0
    assert JsonCodec(identity, identity).decode(JsonCodec(identity, identity).encode(None)) is None


@pytest.mark.parametrize(
    ("codec", "item"),
    [
        (StringCodec(), b"bytes"),
        (StringCodec(), "\ud800"),
        (BinaryCodec(), "text"),
        (UuidCodec(), "5fbf3ee6-6b4f-4b5e-9b0e-2b6c1f2d3e4f"),
        (OidCodec(), 2**53 + 1),
        (OidCodec(), -1),
        (OidCodec(), True),
        (SlotCodec(), 2**16),
        (PairCodec(StringCodec(), StringCodec()), "pair"),
        (PairCodec(StringCodec(), StringCodec()), ("a", "b", "c")),
        (UuidSetCodec(), []),
        (JsonCodec(identity, identity), math.nan),
    ],
)
def test_what_is_of_another_type_is_refused(codec: Any, item: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        codec.encode(item)


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (StringCodec(), b"\xff"),
        (UuidCodec(), b"short"),
        (OidCodec(), b"short"),
        (UuidSetCodec(), b"x" * 17),
        (PairCodec(StringCodec(), StringCodec()), b"endless"),
        (JsonCodec(identity, identity), b"{"),
        (CborCodec(identity, identity), b"\xff"),
    ],
)
def test_other_bytes_are_refused(codec: Any, data: bytes) -> None:
    with pytest.raises(Exception, match=r".+"):
        codec.decode(data)


@pytest.mark.parametrize("codec", [UuidCodec(), OidCodec()])
def test_keys_without_prefixes_say_so(codec: Any) -> None:
    with pytest.raises(TypeError, match="by a range, not by a prefix"):
        codec.prefix(1)
