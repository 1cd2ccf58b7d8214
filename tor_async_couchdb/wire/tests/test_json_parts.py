import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.wire.json_parts import elements, members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
INDENTS = st.sampled_from([None, 0, 3, "\t"])
DEEP = b"[" * 100_000 + b"]" * 100_000


@given(value=st.dictionaries(st.text(), JSON), indent=INDENTS, ascii_only=st.booleans())
def test_members_are_those_of_the_object(
    value: dict[str, Any], indent: str | int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert {name: json.loads(part) for name, part in members(text).items()} == value


@given(value=st.lists(JSON), indent=INDENTS)
def test_elements_are_those_of_the_array(value: list[Any], indent: str | int | None) -> None:
    assert [json.loads(part) for part in elements(json.dumps(value, indent=indent).encode())] == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"{}", {}),
        (b" {\r\n} ", {}),
        (rb'{"a\"}": "]\\", "b": "\\\"{"}', {'a"}': rb' "]\\"', "b": rb' "\\\"{"'}),
        (b'{"a":1,"a":2}', {"a": b"2"}),
        (b'{"\\ud800":1,"b":"\\ud800"}', {"b": b'"\\ud800"'}),
        (b'{"a":1e999,"b":' + DEEP + b"}", {"a": b"1e999", "b": DEEP}),
        (b'{"a":"\xff"}', {"a": b'"\xff"'}),
    ],
)
def test_members_need_not_be_what_a_decoder_takes(text: bytes, found: dict[str, bytes]) -> None:
    assert members(text) == found


def test_deep_elements_are_found() -> None:
    assert elements(b"[" + DEEP + b', 1,{"a":' + DEEP + b"}]") == [DEEP, b" 1", b'{"a":' + DEEP + b"}"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"}",
        b"[]",
        b"[}",
        b"null",
        b'"{}"',
        b"<html>",
        b'{"a":1',
        b'{"a":"}',
        b'{"a":[1}',
        b"{1}",
        b"{,}",
        b'{"a":1,}',
        b'{"a"}',
        b"{} {}",
        b"{}}",
        b'{"a":1}]}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_text_that_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"neither|no name|no end|brackets"):
        members(text)
