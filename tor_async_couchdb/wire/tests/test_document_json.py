import json
import math
from typing import Any

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


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [1, x], lambda x: {"a": {"b": (x,)}}])
def test_number_that_is_not_finite_is_refused(value: float, wrap: Any) -> None:
    with pytest.raises(InvalidDocumentError, match=r"'price' of document 'a': .* is not a JSON number"):
        encode({"_id": "a", "price": wrap(value)})


@pytest.mark.parametrize("value", [object(), "\ud800", {"x": object()}, [complex(1, 1)], {1j: 1}])
def test_value_without_a_json_form_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDocumentError, match="document 'a': is not JSON"):
        encode({"_id": "a", "thing": value})


def test_document_that_contains_itself_is_refused() -> None:
    document: dict[str, Any] = {"_id": "a"}
    document["self"] = [document]
    with pytest.raises(InvalidDocumentError, match="document 'a': is not JSON"):
        encode(document)
