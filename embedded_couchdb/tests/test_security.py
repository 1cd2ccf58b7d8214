from embedded_couchdb.tests.couch import Couch


def test_security_of_a_database_is_kept(database: Couch) -> None:
    assert database.get("/_security").json()["admins"]["roles"] == ["_admin"]
    new = {"admins": {"names": ["bob"], "roles": []}, "members": {"names": [], "roles": ["readers"]}}
    for security in (new, {**new, "members": {"names": ["ann"], "roles": []}}):
        assert database.put("/_security", json=security).json() == {"ok": True}
        assert database.get("/_security").json() == security
