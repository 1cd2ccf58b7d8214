import pytest

from embedded_couchdb.tests.couch import Couch


def test_welcome_names_couchdb_3(couch: Couch) -> None:
    welcome = couch.get("/").json()
    assert welcome["couchdb"] == "Welcome"
    assert welcome["version"].startswith("3.")


def test_server_is_up(couch: Couch) -> None:
    response = couch.get("/_up")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


def test_ids_are_32_hexadecimal_digits(couch: Couch) -> None:
    ids = couch.get("/_uuids?count=1000").json()["uuids"]
    assert len(set(ids)) == 1000
    assert all(len(each) == 32 and int(each, 16) >= 0 and each == each.lower() for each in ids)
    assert ids[:500] == sorted(ids[:500]) or ids[500:] == sorted(ids[500:])
    assert len(couch.get("/_uuids").json()["uuids"]) == 1


@pytest.mark.parametrize("count", ["1001", "x", "-1"])
def test_unreasonable_number_of_ids_is_refused(couch: Couch, count: str) -> None:
    assert couch.get(f"/_uuids?count={count}").status_code == 400


def test_database_reports_its_documents_and_sizes(database: Couch) -> None:
    before = database.get().json()
    assert (before["doc_count"], set(before["sizes"])) == (0, {"file", "external", "active"})
    rev = database.save("a")
    database.save("b")
    database.delete(f"/a?rev={rev}")
    after = database.get().json()
    assert (after["db_name"], after["doc_count"]) == (database.url.rpartition("/")[2], 1)
    assert all(size > 0 for size in after["sizes"].values())
    assert after["update_seq"] != before["update_seq"]
