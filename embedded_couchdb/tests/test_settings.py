import pytest

from embedded_couchdb.tests.couch import Couch


def test_security_of_a_database_is_kept(database: Couch) -> None:
    assert database.get("/_security").json()["admins"]["roles"] == ["_admin"]
    new = {"admins": {"names": ["bob"], "roles": []}, "members": {"names": [], "roles": ["readers"]}}
    for security in (new, {**new, "members": {"names": ["ann"], "roles": []}}):
        assert database.put("/_security", json=security).json() == {"ok": True}
        assert database.get("/_security").json() == security


def history(database: Couch) -> int:
    return len(database.get("/a?revs=true").json()["_revisions"]["ids"])


def edit(database: Couch, times: int) -> None:
    stored = database.get("/a")
    rev = stored.json()["_rev"] if stored.status_code == 200 else None
    for _ in range(times):
        rev = database.put("/a", json={} if rev is None else {"_rev": rev}).json()["rev"]


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_history_is_as_long_as_revs_limit_says(database: Couch, limit: int) -> None:
    assert database.get("/_revs_limit").json() == 1000
    edit(database, 10)
    assert history(database) == 10
    assert database.put("/_revs_limit", data=str(limit)).json() == {"ok": True}
    assert database.get("/_revs_limit").json() == limit
    edit(database, 2)
    assert history(database) == limit
    assert database.get("/a").json()["_rev"].startswith("12-")
    assert database.put("/_revs_limit", data="1000").status_code == 200
    edit(database, 3)
    assert history(database) == limit + 3


@pytest.mark.parametrize("limit", ["0", "-1", '"5"', "1.5", "x", "", "null"])
def test_revs_limit_is_a_positive_integer(database: Couch, limit: str) -> None:
    assert database.put("/_revs_limit", data=limit).status_code >= 400
    assert database.get("/_revs_limit").json() == 1000


def test_feed_and_views_see_writes_after_a_new_limit(database: Couch) -> None:
    database.save_views("ids", by_id="function (doc) { emit(doc._id); }")
    with database.get("/_changes?feed=continuous&since=now&timeout=20000", stream=True) as feed:
        database.put("/_revs_limit", data="5")
        database.save("late")
        assert '"late"' in next(line.decode() for line in feed.iter_lines(chunk_size=1) if line)
    assert database.get("/_design/ids/_view/by_id").json()["total_rows"] == 1


@pytest.mark.parametrize(
    "security", [[], 5, {"admins": 5}, {"members": {"names": 5}}, {"admins": {"roles": [1]}}]
)
def test_malformed_security_is_refused(database: Couch, security: object) -> None:
    assert database.put("/_security", json=security).status_code >= 400
    assert database.get("/_security").json()["members"]["roles"] == ["_admin"]
