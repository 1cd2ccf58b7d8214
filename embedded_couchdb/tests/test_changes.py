import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from embedded_couchdb.tests.couch import TIMEOUT_S, Couch


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
    assert changed(database, "limit=1&descending=true") == ["b"]


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
