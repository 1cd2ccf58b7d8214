from typing import Any

import pytest
import requests

from embedded_couchdb.tests.couch import NOBODY, TIMEOUT_S, Couch


def anonymous(couch: Couch, method: str, path: str) -> requests.Response:
    return requests.request(method, couch.url + path, timeout=TIMEOUT_S, json={})


@pytest.mark.parametrize("path", ["/", "/_up", "/_session", "/_uuids"])
def test_anonymous_may_see_whether_the_server_is_there(couch: Couch, path: str) -> None:
    assert anonymous(couch, "GET", path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/a"),
        ("PUT", "/a"),
        ("DELETE", "/a"),
        ("POST", "/_bulk_docs"),
        ("GET", "/_changes"),
        ("GET", "/_design/a/_view/b"),
    ],
)
def test_anonymous_is_refused_in_a_database(database: Couch, method: str, path: str) -> None:
    response = anonymous(database, method, path)
    assert (response.status_code, response.json()["error"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/_all_dbs"), ("POST", "/_replicate"), ("PUT", "/test_anonymous")],
)
def test_anonymous_is_refused_at_the_server(couch: Couch, method: str, path: str) -> None:
    assert anonymous(couch, method, path).status_code == 401


@pytest.mark.parametrize("path", ["/", "/_all_dbs"])
def test_wrong_password_is_refused(couch: Couch, path: str) -> None:
    response = requests.get(
        couch.url + path, auth=(NOBODY["username"], NOBODY["password"]), timeout=TIMEOUT_S
    )
    assert (response.status_code, response.json()["reason"]) == (401, "Name or password is incorrect.")


@pytest.mark.parametrize("credentials", ["Bearer x", "Digest x", "Basic", "Basic: YTpi", "Basic YQ=="])
def test_header_without_a_name_and_a_password_is_anonymous(couch: Couch, credentials: str) -> None:
    def status(path: str) -> int:
        headers = {"Authorization": credentials}
        return requests.get(couch.url + path, headers=headers, timeout=TIMEOUT_S).status_code

    assert (status("/"), status("/_all_dbs")) == (200, 401)


def test_password_that_is_no_base64_is_malformed(couch: Couch) -> None:
    response = requests.get(couch.url, headers={"Authorization": "Basic x y"}, timeout=TIMEOUT_S)
    assert (response.status_code, response.json()["error"]) == (400, "bad_request")


def test_session_names_the_user(couch: Couch) -> None:
    assert anonymous(couch, "GET", "/_session").json()["userCtx"] == {"name": None, "roles": []}
    assert couch.get("/_session").json()["userCtx"] == {"name": couch.username, "roles": ["_admin"]}


@pytest.mark.parametrize("encoding", ["json", "data"])
def test_cookie_of_a_session_stands_for_the_password(couch: Couch, encoding: str) -> None:
    with requests.Session() as session:
        credentials = {"name": couch.username, "password": couch.password}
        options: dict[str, Any] = {encoding: credentials}
        login = session.post(f"{couch.url}/_session", timeout=TIMEOUT_S, **options)
        assert (login.status_code, login.json()["ok"]) == (200, True)
        assert session.get(f"{couch.url}/_all_dbs", timeout=TIMEOUT_S).status_code == 200
        assert session.delete(f"{couch.url}/_session", timeout=TIMEOUT_S).status_code == 200
        assert session.get(f"{couch.url}/_all_dbs", timeout=TIMEOUT_S).status_code == 401


def test_session_needs_the_password(couch: Couch) -> None:
    credentials = {"name": NOBODY["username"], "password": NOBODY["password"]}
    response = requests.post(f"{couch.url}/_session", json=credentials, timeout=TIMEOUT_S)
    assert response.status_code == 401


def test_forged_cookie_is_refused(couch: Couch) -> None:
    forged = {"AuthSession": f"{couch.username.encode().hex()}:7fffffff:{'0' * 64}"}
    response = requests.get(f"{couch.url}/_all_dbs", cookies=forged, timeout=TIMEOUT_S)
    assert response.status_code in {400, 401}
