import pytest

import tor_async_couchdb
from tor_async_couchdb.tests.front_doors import (
    EXTRAS,
    error_of_import_without_extras,
    names_used_by_api_file,
    offered_names,
)


def test_all_is_sorted_and_exactly_what_the_front_door_offers() -> None:
    assert tor_async_couchdb.__all__ == offered_names(tor_async_couchdb)


def test_typed_api_file_uses_every_name() -> None:
    assert names_used_by_api_file(tor_async_couchdb) == tor_async_couchdb.__all__


def test_front_door_opens_without_the_extras() -> None:
    assert error_of_import_without_extras("tor_async_couchdb") == ""


@pytest.mark.parametrize("name", [*EXTRAS, "tor_async_couchdb.protection.signing"])
def test_extras_are_indeed_missing_then(name: str) -> None:
    assert "ModuleNotFoundError" in error_of_import_without_extras(name)
