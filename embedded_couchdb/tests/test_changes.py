import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from embedded_couchdb.tests.couch import TIMEOUT_S, Couch, save_design


def changed(database: Couch, query: str = "", **options: Any) -> list[str]:
    response = database.get(f"/_changes?{query}", **options)
    assert response.status_code == 200, response.text
    return sorted(change["id"] for change in response.json()["results"])


def follow(database: Couch, query: str) -> requests.Response:
    return database.get(f"/_changes?{query}", stream=True)


def lines(response: requests.Response) -> Iterator[str]:
    return (line.decode() for line in response.iter_lines(chunk_size=1) if line)


def test_changes_are_listed_once_a_document(database: Couch) -> None:
    rev = database.save("a")
    rev = database.save("a", _rev=rev)
    database.save("b")
    feed = database.get("/_changes").json()
    assert sorted(change["id"] for change in feed["results"]) == ["a", "b"]
    assert [change["changes"] for change in feed["results"] if change["id"] == "a"] == [[{"rev": rev}]]
    assert feed["pending"] == 0


def test_changes_continue_from_a_sequence(database: Couch) -> None:
    database.save("a")
    since = database.get("/_changes").json()["last_seq"]
    rev = database.save("b")
    database.delete(f"/b?rev={rev}")
    [change] = database.get("/_changes", params={"since": since}).json()["results"]
    assert (change["id"], change["deleted"]) == ("b", True)
    assert changed(database, "since=now") == []


def test_descending_changes_begin_with_the_latest(one_shard: Couch) -> None:
    for name in "abc":
        one_shard.save(name)
    response = one_shard.get("/_changes?limit=2&descending=true").json()
    assert [change["id"] for change in response["results"]] == ["c", "b"]


@pytest.mark.parametrize("since", ["abc", "-1-x", "{}"])
def test_malformed_sequence_is_refused(database: Couch, since: str) -> None:
    assert database.get("/_changes", params={"since": since}).status_code == 400


def test_documents_and_conflicts_come_with_their_changes(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    [change] = database.get("/_changes?include_docs=true&conflicts=true&style=all_docs").json()["results"]
    assert (change["doc"]["color"], change["doc"]["_conflicts"]) == ("blue", ["1-aa"])
    assert {leaf["rev"] for leaf in change["changes"]} == {"1-aa", "1-bb"}


def test_built_in_filters_choose(database: Couch) -> None:
    database.save("a", color="red")
    database.save("b", color="blue")
    database.save_views("colors", red="function (doc) { if (doc.color === 'red') { emit(doc._id); } }")
    assert changed(database, "filter=_design") == ["_design/colors"]
    assert changed(database, 'filter=_doc_ids&doc_ids=["b"]') == ["b"]
    assert changed(database, "filter=_view&view=colors/red") == ["a"]
    by_ids = database.post("/_changes?filter=_doc_ids", json={"doc_ids": ["a"]})
    assert [change["id"] for change in by_ids.json()["results"]] == ["a"]
    by_selector = database.post("/_changes?filter=_selector", json={"selector": {"color": "blue"}})
    assert [change["id"] for change in by_selector.json()["results"]] == ["b"]


def test_filter_function_chooses(database: Couch) -> None:
    source = "function (doc, req) { return doc.color === req.query.color; }"
    assert database.put("/_design/colors", json={"filters": {"by_color": source}}).status_code == 201
    database.save("a", color="red")
    database.save("b", color="blue")
    assert changed(database, "filter=colors/by_color&color=blue") == ["b"]


def test_missing_filter_is_not_found(database: Couch) -> None:
    assert database.get("/_changes?filter=missing/filter").status_code == 404


def test_longpoll_answers_at_once_when_there_are_changes(database: Couch) -> None:
    database.save("a")
    assert changed(database, "feed=longpoll") == ["a"]


def test_longpoll_waits_for_a_change(database: Couch) -> None:
    since = database.get("/_changes").json()["last_seq"]
    writer = threading.Timer(0.3, database.below("late").put, kwargs={"json": {}})
    writer.start()
    assert changed(database, f"feed=longpoll&since={since}&timeout=20000") == ["late"]
    writer.join()


def test_longpoll_ends_at_its_timeout(database: Couch) -> None:
    began = time.monotonic()
    assert changed(database, "feed=longpoll&since=now&timeout=300") == []
    assert 0.2 < time.monotonic() - began < TIMEOUT_S


def test_continuous_feed_goes_on(database: Couch) -> None:
    database.save("a")
    with follow(database, "feed=continuous&timeout=20000") as response:
        feed = lines(response)
        assert json.loads(next(feed))["id"] == "a"
        assert database.below("b").put(json={}).status_code == 201
        assert json.loads(next(feed))["id"] == "b"


def test_continuous_feed_ends_at_its_timeout(database: Couch) -> None:
    database.save("a")
    with follow(database, "feed=continuous&timeout=300") as response:
        first, last = lines(response)
    assert json.loads(first)["id"] == "a"
    assert "last_seq" in json.loads(last)


def test_continuous_feed_ends_at_its_limit(database: Couch) -> None:
    for name in "abc":
        database.save(name)
    with follow(database, "feed=continuous&limit=2&timeout=20000") as response:
        found = [json.loads(line) for line in lines(response)]
    assert len([change for change in found if "id" in change]) == 2


def test_heartbeat_keeps_a_feed_alive(database: Couch) -> None:
    with follow(database, "feed=continuous&since=now&heartbeat=100") as response:
        chunks = response.iter_content(chunk_size=1)
        assert [next(chunks), next(chunks)] == [b"\n", b"\n"]


def test_eventsource_feed_is_one(database: Couch) -> None:
    database.save("a")
    with follow(database, "feed=eventsource&timeout=20000") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        feed = lines(response)
        data, sequence = next(feed), next(feed)
    assert json.loads(data.removeprefix("data: "))["id"] == "a"
    assert sequence.startswith("id: ")


def test_feed_of_a_deleted_database_ends(database: Couch) -> None:
    with follow(database, "feed=continuous&since=now&heartbeat=1000") as response:
        assert database.delete().status_code == 200
        for _ in response.iter_content(chunk_size=1):
            pass


def test_unknown_feed_is_refused(database: Couch) -> None:
    assert database.get("/_changes?feed=carrier-pigeon").status_code == 400


@pytest.mark.parametrize(("limit", "pending"), [(0, 5), (1, 4), (4, 1), (5, 0), (9, 0)])
@pytest.mark.parametrize("feed", ["normal", "continuous&timeout=20000"])
def test_pending_counts_the_changes_behind_the_limit(
    database: Couch, limit: int, pending: int, feed: str
) -> None:
    for name in "abcde":
        database.save(name)
    rev = database.save("e2")
    database.delete(f"/e2?rev={rev}")
    since = database.get("/_changes?limit=1").json()["last_seq"]
    query = f"feed={feed}&limit={limit}&since={since}" + ("&timeout=100" if limit > 5 else "")
    text = database.get(f"/_changes?{query}").text
    last = json.loads(text if feed == "normal" else text.rstrip().rpartition("\n")[2])
    assert last["pending"] == pending


def test_pages_of_changes_lose_and_repeat_none(database: Couch) -> None:
    database.post("/_bulk_docs", json={"docs": [{"_id": f"{n:02}"} for n in range(25)]})
    seen: list[str] = []
    since, pending = "0", 25
    while pending:
        page = database.get("/_changes", params={"since": since, "limit": 7}).json()
        seen += [change["id"] for change in page["results"]]
        since, pending = page["last_seq"], page["pending"]
        assert len(seen) + pending == 25
    assert sorted(seen) == [f"{n:02}" for n in range(25)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, "b"),
        ({"since": "0"}, {}, "b"),
        ({"since": "now"}, {}, "b"),
        ({}, {"since": "0"}, "ab"),
        ({}, {"since": "now"}, ""),
    ],
)
def test_later_one_of_since_and_last_event_id_counts(
    database: Couch, before: dict[str, str], after: dict[str, str], expected: str
) -> None:
    database.save("a")
    last = database.get("/_changes").json()["last_seq"]
    database.save("b")
    params = {**before, "last-event-id": last, **after}
    assert "".join(changed(database, "", params=params)) == expected


def test_malformed_last_event_id_is_refused(database: Couch) -> None:
    assert database.get("/_changes?last-event-id=x").status_code == 400


@pytest.mark.parametrize("feed", ["normal", "longpoll&timeout=100", "continuous"])
def test_limit_of_zero_lists_none(database: Couch, feed: str) -> None:
    database.save("a")
    response = database.get(f"/_changes?feed={feed}&limit=0")
    assert (response.status_code, '"id"' in response.text, '"pending":1' in response.text) == (
        200,
        False,
        True,
    )


@pytest.mark.parametrize("heartbeat", ["0", "-1", "x", "", "1.5"])
@pytest.mark.parametrize("feed", ["continuous", "longpoll", "eventsource"])
def test_heartbeat_that_is_no_positive_number_is_refused(database: Couch, heartbeat: str, feed: str) -> None:
    response = database.get(f"/_changes?feed={feed}&timeout=100&heartbeat={heartbeat}")
    assert (response.status_code, response.json()["error"]) == (400, "bad_request")


@pytest.mark.parametrize("query", ["limit=x", "timeout=x&feed=longpoll", "style=x"])
def test_malformed_option_is_refused(database: Couch, query: str) -> None:
    database.save("a")
    assert database.get(f"/_changes?{query}").status_code >= 400


@pytest.mark.parametrize(
    "query",
    [
        "filter=x",
        "filter=a/b/c",
        "filter=_foo",
        "filter=_view",
        "filter=_doc_ids",
        "filter=_doc_ids&doc_ids=5",
    ],
)
def test_malformed_filter_is_refused(database: Couch, query: str) -> None:
    assert database.get(f"/_changes?{query}").status_code == 400


@pytest.mark.parametrize("body", [{}, {"selector": 5}, {"selector": {"a": {"$x": 1}}}])
def test_malformed_selector_is_refused(database: Couch, body: dict[str, Any]) -> None:
    assert database.post("/_changes?filter=_selector", json=body).status_code == 400
    assert database.get("/_changes?filter=_selector").status_code == 400


def test_selector_that_never_ends_is_ended(stand_in: Couch, stand_in_database: Couch) -> None:
    stand_in_database.save("a", text="a" * 50 + "!")
    selector = {"text": {"$regex": "^(a+)+$"}}
    response = stand_in_database.post("/_changes?filter=_selector", json={"selector": selector})
    assert (response.status_code, response.json()["error"]) == (500, "os_process_error")
    assert stand_in.get("/_up").status_code == 200


PART = "function (doc, req) { return JSON.stringify(req[req.query.part]) === req.query.expected; }"


def test_filter_function_sees_the_request(couch: Couch, database: Couch) -> None:
    save_design(database, "parts", filters={"part": PART})
    name = database.url.rpartition("/")[2]
    security = {"admins": {"names": ["ann"], "roles": []}, "members": {"names": [], "roles": ["readers"]}}
    database.put("/_security", json=security)
    expected = {
        "method": "GET",
        "path": [name, "_changes"],
        "id": None,
        "body": "undefined",
        "form": {},
        "cookie": {},
        "peer": "127.0.0.1",
        "userCtx": {"db": name, "name": couch.username, "roles": ["_admin"]},
        "secObj": security,
    }
    for part, value in expected.items():
        text = json.dumps(value, separators=(",", ":"))
        params = {"filter": "parts/part", "part": part, "expected": text}
        response = database.get("/_changes", params=params, headers={"Cookie": "color=red"})
        assert len(response.json()["results"]) == 1, part


def test_filter_function_sees_headers_query_and_body(database: Couch) -> None:
    source = """function (doc, req) {
        return req.headers.Host === req.query.host && req.headers['X-Color'] === 'red'
            && !req.headers.Authorization && !req.headers.Cookie && req.method === 'POST'
            && req.body.color === 'blue' && req.raw_path.indexOf('/_changes?') > 0 && req.uuid.length === 32;
    }"""
    save_design(database, "requests", filters={"all": source})
    host = database.url.split("/")[2]
    params = {"filter": "requests/all", "host": host}
    response = database.post("/_changes", params=params, json={"color": "blue"}, headers={"X-Color": "red"})
    assert len(response.json()["results"]) == 1
    response = database.post("/_changes", params=params, json={"color": "grey"}, headers={"X-Color": "red"})
    assert response.json()["results"] == []


@pytest.mark.parametrize("statement", ["throw 'x'", "throw({forbidden: 'x'})", "missing.member"])
@pytest.mark.parametrize("feed", ["normal", "continuous&timeout=100", "longpoll"])
def test_filter_function_that_throws_fails_the_feed(database: Couch, statement: str, feed: str) -> None:
    save_design(database, "broken", filters={"all": f"function (doc) {{ {statement}; }}"})
    assert database.get(f"/_changes?filter=broken/all&feed={feed}").status_code == 500


def test_filter_function_sees_each_leaf_on_request(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    save_design(database, "colors", filters={"red": "function (doc) { return doc.color === 'red'; }"})
    assert changed(database, "filter=colors/red") == []
    [change] = database.get("/_changes?filter=colors/red&style=all_docs").json()["results"]
    assert (change["id"], change["changes"]) == ("a", [{"rev": "1-aa"}])


@pytest.mark.parametrize("returned", ["1", "'x'", "{}", "[]", "true"])
def test_filter_function_chooses_by_truth(database: Couch, returned: str) -> None:
    source = f"function (doc) {{ return doc._id === 'a' && {returned}; }}"
    save_design(database, "truth", filters={"all": source})
    database.save("a")
    database.save("b")
    assert changed(database, "filter=truth/all") == ["a"]


def test_filtered_feed_goes_on_with_later_changes(database: Couch) -> None:
    save_design(database, "colors", filters={"red": "function (doc) { return doc.color === 'red'; }"})
    with follow(database, "feed=continuous&timeout=20000&filter=colors/red&include_docs=true") as response:
        feed = lines(response)
        database.save("a", color="blue")
        database.save("b", color="red")
        assert json.loads(next(feed))["doc"]["_id"] == "b"
        database.save("c", color="red")
        assert json.loads(next(feed))["id"] == "c"


def test_filtered_longpoll_waits_for_a_chosen_change(database: Couch) -> None:
    save_design(database, "colors", filters={"red": "function (doc) { return doc.color === 'red'; }"})
    database.save("a", color="blue")
    late = database.below("late")
    writer = threading.Timer(0.3, late.put, kwargs={"json": {"color": "red"}})
    writer.start()
    assert changed(database, "feed=longpoll&timeout=20000&filter=colors/red") == ["late"]
    writer.join()


def test_many_changes_pass_a_filter_in_batches(database: Couch) -> None:
    docs = [{"_id": f"{n:03}", "n": n} for n in range(350)]
    database.post("/_bulk_docs", json={"docs": docs})
    save_design(database, "hundreds", filters={"whole": "function (doc) { return doc.n % 100 === 0; }"})
    assert changed(database, "filter=hundreds/whole") == ["000", "100", "200", "300"]
    assert len(changed(database, "filter=hundreds/whole&limit=3")) == 3
