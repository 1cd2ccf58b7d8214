import pytest

from tor_async_couchdb.wire.endpoint import quote_id


@pytest.mark.parametrize(
    ("document_id", "quoted"),
    [
        ("a", "a"),
        ("a/b", "a%2Fb"),
        ("a b+c", "a%20b%2Bc"),
        ("%2F", "%252F"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("_design/x", "_design/x"),
        ("_design/x/y", "_design/x%2Fy"),
        ("_design/..", "_design/%2E%2E"),
        ("_local/a b", "_local/a%20b"),
        ("ü", "%C3%BC"),
    ],
)
def test_id_is_quoted_as_one_segment_of_a_path(document_id: str, quoted: str) -> None:
    assert quote_id(document_id) == quoted
