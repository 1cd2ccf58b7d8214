import collections
import enum
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Self
from unittest.mock import NonCallableMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couch_named_python.errors import InvalidJSONError, QueryServerError
from couch_named_python.json_lines import decode, encode, encode_rows, encode_text_line, number
from couch_named_python.tests.functions import NO_JSON, no_json

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


@pytest.mark.parametrize("kind", NO_JSON)
@given(before=nested(FINITE), after=nested(FINITE))
@settings(max_examples=10)
def test_what_json_has_no_form_for_is_refused_wherever_it_is(kind: str, before: Any, after: Any) -> None:
    places: list[tuple[Any, str]] = [
        (no_json(kind), "whole"),
        ([before, no_json(kind), after], "whole[1]"),
        ((before, (no_json(kind),)), "whole[1][0]"),
        ({"a": {"b": no_json(kind)}, "c": before}, "whole['a']['b']"),
        ({"before": before, "a": [after, {"b": no_json(kind)}]}, "whole['a'][1]['b']"),
    ]
    for whole, where in places:
        with pytest.raises(InvalidJSONError, match="not JSON: ") as caught:
            encode(whole, "whole")
        assert kind == "deep" or caught.value.reason.removeprefix("not JSON: ").startswith(where)


def test_a_list_that_contains_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append({"ring": ring})
    with pytest.raises(InvalidJSONError, match="nested too deeply"):
        encode(ring)


class Point(NamedTuple):
    x: int
    y: int


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class LabelledLevel(int, enum.Enum):
    """A mixed-in enum whose value isn't the integer that it is."""

    LOW = (1, "low")

    def __new__(cls, number: int, label: str) -> Self:
        member = int.__new__(cls, number)
        member._value_ = label
        return member


class Text(str):
    """A string that says it is another."""

    def __str__(self) -> str:
        return "another"


class Integer(int):
    pass


class Real(float):
    def __float__(self) -> float:
        return float("nan")


class Items(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter({1, 2})


class Members(dict[str, Any]):
    def items(self) -> Any:
        return [("another", {1, 2})]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (Point(1, 2), b"[1,2]"),
        (Color.RED, b'"red"'),
        (Level.LOW, b"1"),
        (LabelledLevel.LOW, b"1"),
        (re.IGNORECASE | re.MULTILINE, b"10"),
        (Text("a"), b'"a"'),
        (Integer(3), b"3"),
        (Real(1.5), b"1.5"),
        (Items([1, Point(1, 2)]), b"[1,[1,2]]"),
        (Members(a=1), b'{"a":1}'),
        (collections.defaultdict(list, a=[1]), b'{"a":[1]}'),
        (collections.Counter("aab"), b'{"a":2,"b":1}'),
        (collections.OrderedDict(b=1, a=2), b'{"b":1,"a":2}'),
        ({Color.RED: Color.RED, Text("a"): 1}, b'{"red":"red","a":1}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_instance_of_a_subclass_counts_as_what_it_is_derived_from(value: Any, line: bytes) -> None:
    assert encode(value) == line
    assert encode([{"a": value}, None]) == b'[{"a":' + line + b"},null]"


@pytest.mark.parametrize(
    "value",
    [{Real("inf")}, [Real("inf")], {"a": Real("nan")}, Text("\ud800"), {Text("\ud800"): 1}, Items([{1}])],
    ids=range(6),
)
def test_a_subclass_is_no_way_around(value: Any) -> None:
    with pytest.raises(InvalidJSONError):
        encode(value)


@pytest.mark.parametrize(
    "value", [2**63, 2**64, -(2**63) - 1, 10**4299, 1e308, 5e-324, -0.0, 1e21, "\u2028\x00\x7f\U0001f600"]
)
def test_numbers_beyond_64_bits_and_odd_characters_stay_exact(value: Any) -> None:
    assert json.loads(encode([value])) == [value]


def test_an_object_that_claims_to_be_a_string_is_none() -> None:
    with pytest.raises(InvalidJSONError, match="type NonCallableMock"):
        encode(NonCallableMock(spec=str))


def test_a_key_that_cannot_be_shown_is_refused() -> None:
    class UnspeakableKey:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(InvalidJSONError, match="a key is a string, but … is of type UnspeakableKey"):
        encode({UnspeakableKey(): 1})


@given(rows=st.lists(st.tuples(nested(FINITE), nested(FINITE)), max_size=5), data=st.data())
def test_the_row_that_is_no_json_is_named(rows: list[tuple[Any, Any]], data: st.DataObject) -> None:
    assert json.loads(encode_rows(rows)) == json.loads(json.dumps(rows))
    at = data.draw(st.integers(0, len(rows)))
    kind = data.draw(st.sampled_from(sorted(NO_JSON.keys() - {"deep"})))
    row, part = data.draw(
        st.sampled_from([((no_json(kind), None), "key"), (("a", [no_json(kind)]), r"value\[0\]")])
    )
    with pytest.raises(InvalidJSONError, match=rf"^not JSON: rows\[{at}\], {part}"):
        encode_rows([*rows[:at], row, *rows[at:]])


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(QueryServerError, match="nested too deeply"):
        encode(deep)


@given(text=st.text(alphabet=st.characters(categories=["Cs", "Cc", "Ll"])))
def test_any_text_can_be_logged(text: str) -> None:
    label, logged = json.loads(encode_text_line("log", text))
    assert label == "log"
    assert len(logged) == len(text)


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (2.5, 2.5), (True, 1), ("3", 1), (None, 1), ([], 1)])
def test_only_a_number_is_a_number(value: Any, expected: float) -> None:
    assert number(value, 1) == expected
