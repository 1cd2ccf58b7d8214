import os
from pathlib import Path
from typing import Any, cast

import pytest

from tor_async_couchdb.errors import ResponseError, TransportError
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.installer.design_documents import install_design_documents
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.files import DocumentFile

COLORS = "function(doc) { if (doc.color) { emit(doc.color, null); } }"
SIZES = "function(doc) { if (doc.color) { emit(doc.size, null); } }"


needs_couchdb = pytest.mark.skipif(
    "COUCHDB_URL" not in os.environ, reason="COUCHDB_URL is not set: the stand-in lacks it"
)


def _file(name: str, map_function: str = COLORS, **members: Any) -> DocumentFile:
    views = {"views": {name: {"map": map_function}}}
    return DocumentFile(Path(f"{name}.json"), {"_id": f"_design/{name}", **views, **members})


def _ignore_progress(name: str, done: int, total: int) -> None:
    pass


def _rows(database: AdminDatabase, name: str, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = database.server.ask(
        "GET", database.name, "_design", name, "_view", name, query=query
    )["rows"]
    return rows


def _design_documents(database: AdminDatabase) -> dict[str, str]:
    rows = database.server.ask(
        "GET", database.name, "_all_docs", query={"startkey": '"_design/"', "endkey": '"_design0"'}
    )["rows"]
    return {row["id"]: row["value"]["rev"] for row in rows}


@pytest.fixture
def fruits(database: AdminDatabase) -> AdminDatabase:
    # On a cluster, one copy: of several, any one answers `_all_docs` and views, also one that is behind.
    database.server.ask("PUT", database.name, query={"n": "1"})
    database.write([{"_id": str(size), "color": "red", "size": size} for size in range(500)])
    return database


def test_new_design_documents_are_put_with_their_indexes(fruits: AdminDatabase) -> None:
    install_design_documents(fruits, [_file("a"), _file("b", SIZES)], _ignore_progress)
    assert set(_design_documents(fruits)) == {"_design/a", "_design/b"}
    assert [row["key"] for row in _rows(fruits, "b")] == list(range(500))


def test_same_design_documents_again_change_nothing(fruits: AdminDatabase) -> None:
    files = [_file("a"), _file("b", SIZES)]
    install_design_documents(fruits, files, _ignore_progress)
    before = _design_documents(fruits)
    install_design_documents(fruits, files, _ignore_progress)
    assert _design_documents(fruits) == before


def test_changed_design_document_is_upgraded_and_has_its_index_at_once(fruits: AdminDatabase) -> None:
    install_design_documents(fruits, [_file("a"), _file("b")], _ignore_progress)
    before = _design_documents(fruits)
    install_design_documents(fruits, [_file("a", SIZES), _file("b")], _ignore_progress)
    # update=false answers from the index as it is, without building it.
    assert len(_rows(fruits, "a", update="false")) == 500
    assert [row["key"] for row in _rows(fruits, "a")] == list(range(500))
    after = _design_documents(fruits)
    assert set(after) == {"_design/a", "_design/b"}
    assert after["_design/a"].startswith("2-")
    assert after["_design/b"] == before["_design/b"]


def test_change_outside_of_the_views_is_an_upgrade_too(fruits: AdminDatabase) -> None:
    install_design_documents(fruits, [_file("a")], _ignore_progress)
    validation = "function(doc) { if (doc.bad) { throw({forbidden: 'bad'}); } }"
    install_design_documents(fruits, [_file("a", validate_doc_update=validation)], _ignore_progress)
    assert fruits.write([{"_id": "bad", "bad": True}])["bad"].startswith("forbidden")
    assert _design_documents(fruits)["_design/a"].startswith("2-")


def test_design_document_without_views_is_put(fruits: AdminDatabase) -> None:
    body = {"_id": "_design/a", "validate_doc_update": "function(doc) {}"}
    install_design_documents(fruits, [DocumentFile(Path("a.json"), body)], _ignore_progress)
    assert set(_design_documents(fruits)) == {"_design/a"}


def test_bad_map_function_leaves_all_design_documents_as_they_were(fruits: AdminDatabase) -> None:
    install_design_documents(fruits, [_file("a"), _file("z")], _ignore_progress)
    before = _design_documents(fruits)
    bad = [_file("a", SIZES), _file("new"), _file("z", "function(doc) { emit(")]
    with pytest.raises(InstallerError, match=r"^z\.json: .*compilation_error") as caught:
        install_design_documents(fruits, bad, _ignore_progress)
    assert "\n" not in str(caught.value)
    assert _design_documents(fruits) == before
    assert [row["key"] for row in _rows(fruits, "a", limit="1")] == ["red"]


def test_temporary_documents_of_another_installer_stay(
    fruits: AdminDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    install_design_documents(fruits, [_file("a"), _file("b")], _ignore_progress)
    others = {
        f"_design/{name}": fruits.put_design_document(name, {"views": {}})
        for name in ("a.being_built", "b.being_built")
    }
    install_design_documents(fruits, [_file("a"), _file("b", SIZES), _file("c")], _ignore_progress)
    stored = _design_documents(fruits)
    assert set(stored) == {"_design/a", "_design/b", "_design/c", *others}
    assert others.items() <= stored.items()
    assert [row["key"] for row in _rows(fruits, "b", limit="2")] == [0, 1]
    assert "'_design/b.being_built' of another installer stays" in caplog.text


def test_document_that_another_installer_puts_meanwhile_is_as_good_as_ones_own(
    fruits: AdminDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = AdminDatabase.write

    def be_late(database: AdminDatabase, documents: Any) -> dict[str, str]:
        monkeypatch.setattr(AdminDatabase, "write", write)
        install_design_documents(fruits, [_file("a"), _file("b", SIZES)], _ignore_progress)
        return write(database, documents)

    monkeypatch.setattr(AdminDatabase, "write", be_late)
    install_design_documents(fruits, [_file("a"), _file("b", SIZES)], _ignore_progress)
    stored = _design_documents(fruits)
    assert set(stored) == {"_design/a", "_design/b"}
    assert all(rev.startswith("1-") for rev in stored.values())


def test_true_is_not_taken_for_1(fruits: AdminDatabase) -> None:
    install_design_documents(fruits, [_file("a", autoupdate=True)], _ignore_progress)
    install_design_documents(fruits, [_file("a", extra=1)], _ignore_progress)
    install_design_documents(fruits, [_file("a", extra=True)], _ignore_progress)
    assert _design_documents(fruits)["_design/a"].startswith("3-")


def test_modules_that_map_functions_require_are_put(fruits: AdminDatabase) -> None:
    views = {
        "lib": {"double": "exports.of = function(n) { return 2 * n; };", "deep": {"one": "exports.n = 1;"}},
        "a": {"map": "function(doc) { emit(require('views/lib/double').of(doc.size), null); }"},
    }
    body = {"_id": "_design/a", "views": views}
    install_design_documents(fruits, [DocumentFile(Path("a.json"), body)], _ignore_progress)
    assert [row["key"] for row in _rows(fruits, "a", update="false", limit="3")] == [0, 2, 4]


def test_design_document_with_modules_alone_is_put(fruits: AdminDatabase) -> None:
    body = {"_id": "_design/a", "views": {"lib": {"one": "exports.n = 1;"}}}
    install_design_documents(fruits, [DocumentFile(Path("a.json"), body)], _ignore_progress)
    assert set(_design_documents(fruits)) == {"_design/a"}


INDEX = {
    "language": "query",
    "views": {
        "by_size": {
            "map": {"fields": {"size": "asc"}, "partial_filter_selector": {}},
            "reduce": "_count",
            "options": {"def": {"fields": ["size"]}},
        }
    },
}


@needs_couchdb
def test_index_of_mango_is_put_and_used(fruits: AdminDatabase) -> None:
    file = DocumentFile(Path("m.json"), {"_id": "_design/m", **INDEX})
    install_design_documents(fruits, [file], _ignore_progress)
    query = {"selector": {"size": {"$gt": 497}}, "use_index": "m"}
    found = fruits.server.ask("POST", fruits.name, "_find", body=query)
    assert [doc["size"] for doc in found["docs"]] == [498, 499]
    assert "warning" not in found
    before = _design_documents(fruits)
    install_design_documents(fruits, [file], _ignore_progress)
    assert _design_documents(fruits) == before


@needs_couchdb
@pytest.mark.parametrize("shards", [1, 2, 5])
def test_indexes_of_a_partitioned_database_are_built_in_each_shard(
    database: AdminDatabase, shards: int
) -> None:
    # With more copies, any copy answers: on a cluster the others are brought up to date in the background.
    options = {"partitioned": "true", "q": str(shards), "n": "1"}
    database.server.ask("PUT", database.name, query=options)
    database.write([{"_id": f"p{size % 40}:{size}", "color": "red", "size": size} for size in range(200)])
    files = [
        _file("a", SIZES),
        _file("b", COLORS, options={"partitioned": False}),
        _file("c", COLORS, options={"partitioned": True}),
        DocumentFile(Path("m.json"), {"_id": "_design/m", **INDEX}),
    ]
    install_design_documents(database, files, _ignore_progress)
    assert len(_rows(database, "b", update="false")) == 200
    for design_document, view in (("a", "a"), ("c", "c"), ("m", "by_size")):
        for number in range(40):
            path = ("_partition", f"p{number}", "_design", design_document, "_view", view)
            query = {"update": "false", "reduce": "false"}
            rows = database.server.ask("GET", database.name, *path, query=query)["rows"]
            assert len(rows) == 5


class ScriptedDatabase:
    """A database whose view answers after `tries` requests; records what happens, in order."""

    def __init__(self, pending: list[int], *, tries: int = 1) -> None:
        self.pending = pending
        self.tries = tries
        self.happened: list[str] = []
        self.refusals: dict[str, str] = {}
        self.query_error: BaseException | None = None

    def fetch(self, document_ids: list[str]) -> dict[str, Any]:
        return {}

    def put_design_document(self, name: str, body: dict[str, Any]) -> str:
        self.happened.append(f"put {name}")
        return "1-a"

    def delete_design_document(self, name: str, revision: str) -> None:
        self.happened.append(f"delete {name}")

    def query_view(self, design_document: str, view: str, *, timeout_s: float) -> None:
        if self.query_error is not None:
            raise self.query_error
        if self.tries > 0:
            self.tries -= 1
            raise TransportError("no answer within 1 s")
        self.happened.append(f"built {design_document}")

    def count_pending_updates(self, design_document: str) -> int:
        return self.pending.pop(0) if self.pending else 0

    def write(self, documents: Any) -> dict[str, str]:
        self.happened.append(f"switch {[document['_id'] for document in documents]}")
        return self.refusals


class Clock:
    """A clock that only `sleep` moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


def _install(
    scripted: ScriptedDatabase, *files: DocumentFile, clock: Clock | None = None
) -> list[tuple[str, int, int]]:
    seen = []
    clock = clock or Clock()
    install_design_documents(
        cast(AdminDatabase, scripted),
        files,
        lambda *progress: seen.append(progress),
        sleep=clock.sleep,
        now=clock.now,
    )
    return seen


def test_progress_is_reported_while_an_index_is_built() -> None:
    scripted = ScriptedDatabase([100, 60, 70, 110, 20, 0])
    assert _install(scripted, _file("a")) == [
        ("a", 0, 100),
        ("a", 40, 100),
        ("a", 30, 100),
        ("a", 0, 110),
        ("a", 90, 110),
        ("a", 110, 110),
    ]


def test_nothing_is_switched_before_every_index_is_built_and_nothing_temporary_stays() -> None:
    scripted = ScriptedDatabase([10, 0])
    _install(scripted, _file("a"), _file("b"))
    assert scripted.happened == [
        "put a.being_built",
        "put b.being_built",
        "built a.being_built",
        "built b.being_built",
        "switch ['_design/a', '_design/b']",
        "built a",
        "built b",
        "delete b.being_built",
        "delete a.being_built",
    ]


def test_index_that_makes_no_progress_for_two_minutes_is_given_up() -> None:
    scripted, clock = ScriptedDatabase([8, *[7] * 10_000]), Clock()
    with pytest.raises(InstallerError, match=r"^a\.json: its index made no progress within 120 s"):
        _install(scripted, _file("a"), clock=clock)
    assert scripted.happened == ["put a.being_built", "delete a.being_built"]
    assert 120 < clock.now_s < 121


def test_slow_index_is_not_given_up_while_it_makes_progress() -> None:
    scripted, clock = (
        ScriptedDatabase([pending for left in range(9, -1, -1) for pending in [left] * 400]),
        Clock(),
    )
    _install(scripted, _file("a"), clock=clock)
    assert clock.now_s > 800


def test_view_that_cannot_be_queried_is_named_by_its_file() -> None:
    scripted = ScriptedDatabase([])
    scripted.query_error = ResponseError(
        500, "unknown_query_language", "klingon", method="GET", path="/fruits/_design/a"
    )
    with pytest.raises(InstallerError, match=r"^a\.json: .*unknown_query_language: klingon"):
        _install(scripted, _file("a"))
    assert scripted.happened == ["put a.being_built", "delete a.being_built"]


def test_interrupted_build_leaves_nothing_temporary() -> None:
    scripted = ScriptedDatabase([])
    scripted.query_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        _install(scripted, _file("a"))
    assert scripted.happened == ["put a.being_built", "delete a.being_built"]


def test_design_document_that_another_client_changed_meanwhile_is_named() -> None:
    scripted = ScriptedDatabase([])
    scripted.refusals = {"_design/a": "conflict: Document update conflict."}
    with pytest.raises(InstallerError, match=r"^a\.json: .*conflict: Document update conflict"):
        _install(scripted, _file("a"))
    assert scripted.happened[-1] == "delete a.being_built"
