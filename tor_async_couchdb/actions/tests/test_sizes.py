from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.actions.inspect import Sizes

sizes = st.none() | st.integers(0, 2**53)


@pytest.mark.parametrize(
    ("data_size", "disk_size", "fragmentation"),
    [
        (1265, 4197, 70),
        (0, 51, 100),
        (50, 100, 50),
        (100, 100, 0),
        (0, 0, 0),
        (1, 0, 0),
        (300, 100, 0),
        (None, 100, None),
        (100, None, None),
        (None, None, None),
    ],
)
def test_fragmentation_is_the_percentage_that_compaction_would_free(
    data_size: int | None, disk_size: int | None, fragmentation: int | None
) -> None:
    assert Sizes(data_size, disk_size).fragmentation == fragmentation


@given(sizes, sizes)
def test_fragmentation_is_a_percentage_or_none(data_size: int | None, disk_size: int | None) -> None:
    fragmentation = Sizes(data_size, disk_size).fragmentation
    assert fragmentation is None or 0 <= fragmentation <= 100


@pytest.mark.parametrize(
    ("information", "expected"),
    [
        ({"sizes": {"active": 1, "file": 2, "external": 3}}, Sizes(1, 2)),
        ({"sizes": {"active": 0, "file": 0}}, Sizes(0, 0)),
        ({"sizes": {"file": 2}}, Sizes(None, 2)),
        ({}, Sizes(None, None)),
    ],
)
def test_sizes_are_read_from_the_information_of_couchdb_3(
    information: dict[str, Any], expected: Sizes
) -> None:
    assert Sizes.from_information(information) == expected
