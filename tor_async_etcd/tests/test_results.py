from __future__ import annotations

from tor_async_etcd.results import Branch, Deleted, KeyValue, Range, Revision, Status, parse_responses


def test_what_the_gateway_omits_is_zero_or_empty() -> None:
    assert KeyValue.parse({}) == KeyValue(b"", b"", 0, 0, 0, 0)
    assert Range.parse({"header": {"revision": "7"}}).count == 0
    assert Deleted.parse({}).previous == []
    assert Revision.parse({}).previous is None
    assert Status.parse({}).leader == 0


def test_64_bit_integers_keep_every_bit() -> None:
    assert KeyValue.parse({"mod_revision": "9223372036854775807"}).mod_revision == 2**63 - 1


def test_responses_keep_their_order_and_kind() -> None:
    reply = {
        "responses": [
            {"response_put": {}},
            {"response_range": {"kvs": [{"key": "YQ=="}], "count": "1"}},
            {"response_txn": {"responses": [{"response_delete_range": {"deleted": "2"}}]}},
        ]
    }
    put, found, branch = parse_responses(reply)
    assert isinstance(put, Revision)
    assert isinstance(found, Range)
    assert [kv.key for kv in found.kvs] == [b"a"]
    assert isinstance(branch, Branch)
    assert not branch.succeeded
    assert isinstance(branch.responses[0], Deleted)
