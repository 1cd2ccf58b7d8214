import pytest

from tor_async_service.correlation import request_id_of


@pytest.mark.parametrize(
    "header",
    [
        "1",
        "x" * 128,
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "7F000001:8296_7F00001E:1F90_4F7B0A69_0003:790B",
        "Root=1-67891233-abcdef012345678912345678",
        "dGhpcyBpcy/hIHRl+A==",
    ],
)
def test_well_formed_id_is_taken(header: str) -> None:
    assert request_id_of(header) == header


@pytest.mark.parametrize(
    "header",
    [None, "", "x" * 129, "a b", "a,b", 'a"', "a\n", "a\nb", "a\x00", "ü", "٣", "a\x85", "<a>", "a;b"],
)
def test_another_id_is_replaced_by_a_new_one(header: str | None) -> None:
    first, second = request_id_of(header), request_id_of(header)
    assert first != second
    assert len(first) == 32
    assert set(first) <= set("0123456789abcdef")
