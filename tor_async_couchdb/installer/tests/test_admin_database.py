import pytest

from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.errors import InstallerError


@pytest.mark.parametrize("name", ["a", "fruits", "a0_$()+-/z", "tor_async_couchdb_sample"])
def test_name_that_couchdb_accepts_is_accepted(name: str) -> None:
    with AdminClient("http://127.0.0.1:1") as server:
        assert AdminDatabase(server, name).name == name


@pytest.mark.parametrize("name", ["", "Fruits", "0fruits", "_users", "..", "a b", "a?b", "a\n", "ä", "a.b"])
def test_name_that_couchdb_does_not_accept_is_refused(name: str) -> None:
    with (
        AdminClient("http://127.0.0.1:1") as server,
        pytest.raises(InstallerError, match="must begin with a lower"),
    ):
        AdminDatabase(server, name)


def test_database_is_created_and_deleted(database: AdminDatabase) -> None:
    assert not database.exists()
    database.create()
    assert database.exists()
    database.delete()
    assert not database.exists()


def test_name_with_a_plus_names_one_database(database: AdminDatabase) -> None:
    plus = AdminDatabase(database.server, f"{database.name}+more")
    plus.create()
    try:
        assert plus.exists()
        assert not database.exists()
    finally:
        plus.delete()


def test_only_documents_that_exist_are_fetched(database: AdminDatabase) -> None:
    database.create()
    assert database.write([{"_id": "1", "color": "red"}, {"_id": "2"}]) == {}
    (stored,) = database.fetch(["2"]).values()
    database.write([stored | {"_deleted": True}])
    fetched = database.fetch(["1", "2", "3"])
    assert set(fetched) == {"1"}
    assert fetched["1"]["color"] == "red"


def test_fetching_and_writing_nothing_does_nothing(database: AdminDatabase) -> None:
    database.create()
    assert database.fetch([]) == {}
    assert database.write([]) == {}


def test_refused_document_does_not_keep_the_others_from_being_written(database: AdminDatabase) -> None:
    database.create()
    database.write([{"_id": "1", "color": "red"}])
    refusals = database.write([{"_id": "1", "color": "blue"}, {"_id": "2"}])
    assert set(refusals) == {"1"}
    assert refusals["1"].startswith("conflict: ")
    assert database.fetch(["1", "2"])["1"]["color"] == "red"
    assert "2" in database.fetch(["2"])


def test_queried_view_has_no_pending_updates(database: AdminDatabase) -> None:
    database.create()
    database.write([{"_id": str(number)} for number in range(10)])
    views = {"views": {"all": {"map": "function(doc) { emit(null, null); }"}}}
    revision = database.put_design_document("all", views)
    database.query_view("all", "all", timeout_s=30)
    assert database.count_pending_updates("all") == 0
    database.delete_design_document("all", revision)
    assert database.fetch(["_design/all"]) == {}
