import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.wire.document_json import encode

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_document_survives_encoding(document: dict[str, Any]) -> None:
    assert json.loads(encode(document)) == document


wraps = pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: [1, x], lambda x: {"a": {"b": (x,)}}, lambda x: ({"a": [(1, x)]}, 2)]
)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@wraps
def test_number_that_is_not_finite_is_refused(value: float, wrap: Any) -> None:
    with pytest.raises(InvalidDocumentError, match=r"'price' of document 'a': .* is not a JSON number"):
        encode({"_id": "a", "price": wrap(value)})


class Point(msgspec.Struct):
    x: float = math.nan


@dataclasses.dataclass
class Place:
    x: float = math.nan


class Plain(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        {"red", "blue"},
        frozenset({1}),
        b"bytes",
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        decimal.Decimal("1.5"),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 1),
        datetime.time(1, 2),
        datetime.timedelta(seconds=1),
        uuid.UUID(int=7),
        msgspec.Raw(b"{"),
        msgspec.Raw(b'{"a":1}'),
        msgspec.UNSET,
        Point(),
        Point(1.0),
        Place(),
        Place(1.0),
        Plain.RED,
        {7: "x"},
        {None: "x"},
        {1.5: "x"},
        {datetime.date(2026, 1, 1): "x"},
        object(),
        "\ud800",
        {"\ud800": 1},
        complex(1, 1),
        {1j: 1},
        pytest.param(10**5000, id="too many digits"),
        range(3),
        {}.values(),
    ],
)
@wraps
def test_value_without_a_json_form_is_refused_by_the_name_of_its_property(value: Any, wrap: Any) -> None:
    with pytest.raises(InvalidDocumentError, match=r"^property 'thing' of document 'a': is not JSON"):
        encode({"_id": "a", "n": 1, "thing": wrap(value)})


class Name(str):
    __slots__ = ()


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Pair(NamedTuple):
    one: int
    other: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Name("x"), "x"),
        (Color.RED, "red"),
        (Level.LOW, 1),
        (Pair(1, 2.5), [1, 2.5]),
        (collections.OrderedDict(a=[Color.RED]), {"a": ["red"]}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        ({Name("x"): ()}, {"x": []}),
        ({Color.RED: None}, {"red": None}),
        (True, True),
        (10**100, 10**100),
    ],
)
@wraps
def test_instance_of_a_subclass_counts_as_what_it_is_derived_from(
    value: Any, expected: Any, wrap: Any
) -> None:
    assert json.loads(encode({"_id": "a", "x": wrap(value)})) == json.loads(
        json.dumps({"_id": "a", "x": wrap(expected)})
    )


@pytest.mark.parametrize("name", [7, None, "\ud800"])
def test_name_of_a_property_is_a_text(name: Any) -> None:
    with pytest.raises(InvalidDocumentError, match="document 'a': is not JSON"):
        encode({"_id": "a", name: 1})


def test_document_that_contains_itself_is_refused() -> None:
    document: dict[str, Any] = {"_id": "a"}
    document["self"] = [document]
    with pytest.raises(InvalidDocumentError, match="property 'self' of document 'a': is not JSON"):
        encode(document)
