import tor_async_service
from tor_async_couchdb.tests.front_doors import (
    error_of_import_without_extras,
    names_used_by_api_file,
    offered_names,
)


def test_all_is_sorted_and_exactly_what_the_front_door_offers() -> None:
    assert tor_async_service.__all__ == offered_names(tor_async_service)


def test_typed_api_file_uses_every_name() -> None:
    assert names_used_by_api_file(tor_async_service) == tor_async_service.__all__


def test_front_door_opens_without_the_extras() -> None:
    assert error_of_import_without_extras("tor_async_service") == ""
