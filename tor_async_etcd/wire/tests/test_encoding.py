from __future__ import annotations

import pytest

from tor_async_etcd.wire.encoding import KV_PUT, KV_RANGE, PUT, RANGE, encode


def test_request_has_the_gateways_types() -> None:
    values = {"key": b"\xff\x00", "limit": 0, "revision": 2**62, "keys_only": True, "count_only": False}
    assert encode(RANGE, values) == {"key": "/wA=", "limit": "0", "revision": str(2**62), "keys_only": True}


def test_misspelled_option_is_refused_rather_than_ignored() -> None:
    with pytest.raises(TypeError, match="no option 'prev_kvs', only key, value, lease, prev_kv"):
        encode(PUT, {"key": b"a", "prev_kvs": True})


@pytest.mark.parametrize(
    "values",
    [{"key": "a"}, {"limit": "5"}, {"limit": -1}, {"limit": True}, {"keys_only": 1}, {"sort_order": "UP"}],
)
def test_value_of_another_type_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"not"):
        encode(RANGE, values)


def test_only_what_changes_something_says_so() -> None:
    assert KV_PUT.changes
    assert not KV_RANGE.changes
