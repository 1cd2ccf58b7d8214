from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_etcd.dump.dump_format import DumpFormat
from tor_async_etcd.errors import InvalidDataError
from tor_async_etcd.tests.amounts import examples

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TROUBLE = st.sampled_from(["\r", "\n", "\r\n", '"', ",", "\0", "ü", " "])
UTF8 = st.lists(TEXTS | TROUBLE).map(lambda parts: "".join(parts).encode())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
).map(lambda item: json.dumps(item).encode())
DATA = {"utf8": UTF8, "binary": st.binary(), "json": JSON}


@examples
@given(data=st.data())
@pytest.mark.parametrize("file_format", ["json", "csv"])
@pytest.mark.parametrize("value_type", ["utf8", "binary", "json"])
@pytest.mark.parametrize("key_type", ["utf8", "binary"])
def test_what_was_written_is_read_again(
    key_type: Any, value_type: Any, file_format: Any, data: st.DataObject
) -> None:
    dump_format = DumpFormat(key_type, value_type, file_format)
    keys = DATA[key_type].filter(len)
    items = data.draw(st.dictionaries(keys, DATA[value_type], max_size=4))
    read = dump_format.read(dump_format.write(items))
    assert read.keys() == items.keys()
    assert all(dump_format.same(read[key], items[key]) for key in items)
    if value_type != "json":
        assert read == items


def test_json_dump_is_sorted_indented_and_unescaped() -> None:
    text = DumpFormat("utf8", "json", "json").write({b"b": b"[1]", "ä".encode(): b'"\\u00e4"', b"a": b"{}"})
    assert text == '{\n    "a": {},\n    "b": [\n        1\n    ],\n    "ä": "ä"\n}\n'


def test_csv_dump_has_no_header() -> None:
    assert DumpFormat("utf8", "json", "csv").write({b"a": b'"text"', b"b": b"1"}) == 'a,"""text"""\r\nb,1\r\n'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":2}', b'{ "b": 2, "a": 1 }', True),
        (b"1", b"1.0", False),
        (b"1", b"true", False),
        (b'"a"', b'"\\u0061"', True),
        (b"no json", b"1", False),
    ],
)
def test_json_values_are_compared_by_meaning(one: bytes, other: bytes, same: bool) -> None:
    assert DumpFormat("utf8", "json", "json").same(one, other) is same
    assert DumpFormat("utf8", "utf8", "json").same(one, other) is False


@pytest.mark.parametrize(
    ("value_type", "value", "problem"),
    [
        ("json", b"text", "b'key' is no json; try -v utf8 or -v binary"),
        ("json", b"NaN", "no json"),
        ("json", b"1e999", "no json"),
        ("json", b'{"a":1,"a":2}', "no json"),
        ("json", b'"\\ud800"', "no json"),
        ("utf8", b"\xff", "is no utf8; try -v binary"),
    ],
)
def test_value_of_another_type_is_named(value_type: Any, value: bytes, problem: str) -> None:
    with pytest.raises(InvalidDataError, match=problem):
        DumpFormat("utf8", value_type, "json").write({b"key": value})


def test_key_of_another_type_is_named() -> None:
    with pytest.raises(InvalidDataError, match=r"b'\\xff' is no utf8; try -k binary"):
        DumpFormat("utf8", "binary", "json").write({b"\xff": b""})


@pytest.mark.parametrize(
    ("dump_format", "text", "problem"),
    [
        (("utf8", "json", "json"), "[]", "no JSON object"),
        (("utf8", "json", "json"), '{"a":', "no json of keys and values"),
        (("utf8", "json", "json"), '{"a":1,"a":2}', "a key twice"),
        (("utf8", "json", "json"), '{"":1}', "twice, or empty"),
        (("utf8", "utf8", "json"), '{"a":1}', "entry 1, key 'a': 1 is no text"),
        (("binary", "utf8", "json"), '{"!":"b"}', "entry 1, key '!'"),
        (("utf8", "utf8", "csv"), "a,b\r\na,c\r\n", "entry 2: the key 'a' is there twice"),
        (("utf8", "utf8", "csv"), "a,b,c\r\n", "no csv of keys and values"),
        (("utf8", "json", "csv"), "a,{\r\n", "no csv of keys and values"),
        (("utf8", "utf8", "csv"), 'a,"b\r\n', "no csv of keys and values"),
    ],
)
def test_file_that_is_none_is_refused(dump_format: Any, text: str, problem: str) -> None:
    with pytest.raises(InvalidDataError, match=problem):
        DumpFormat(*dump_format).read(text)
