import json
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.files import read_design_documents, read_seed_documents
from tor_async_couchdb.protection import signing

VIEWS = {"views": {"by_color": {"map": "function(doc) { emit(doc.color, null); }"}}}
SEED = {"_id": "1", "type": "fruit_v1.0"}


def _write(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_design_document_is_named_as_its_file(tmp_path: Path) -> None:
    path = _write(tmp_path, "by_color.json", VIEWS)
    (document,) = read_design_documents(tmp_path)
    assert document.path == path
    assert document.document_id == "_design/by_color"
    assert document.body == {"_id": "_design/by_color", **VIEWS}


@pytest.mark.parametrize(
    "members",
    [
        VIEWS,
        {},
        {"views": {}},
        {
            "views": {
                "lib": {"a": "exports.a = 1;", "b": {"c": "exports.c = 1;"}},
                "x": {"map": "function() {}"},
            }
        },
        {"views": {"lib": {}}},
        {"language": "query", "views": {"x": {"map": {"fields": {"a": "asc"}}, "options": {"def": {}}}}},
        {"language": "query", "views": {}},
        {"language": "erlang", "views": {"x": {"map": "fun({Doc}) -> ok end."}}},
        {"filters": {"a": "function() {}"}, "updates": {"b": "function() {}"}, "autoupdate": False},
    ],
)
def test_design_document_that_couchdb_takes_is_read(tmp_path: Path, members: dict[str, Any]) -> None:
    _write(tmp_path, "a.json", members)
    (document,) = read_design_documents(tmp_path)
    assert document.body == {"_id": "_design/a"} | members


def test_files_are_read_in_the_order_of_their_names_and_others_not_at_all(tmp_path: Path) -> None:
    for name in ("c.json", "a.json", "b.json"):
        _write(tmp_path, name, SEED | {"_id": name})
    _write(tmp_path, "README.md", "not JSON")
    assert [document.document_id for document in read_seed_documents(tmp_path)] == [
        "a.json",
        "b.json",
        "c.json",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON: Expecting value"),
        ("{\n  'views': {}\n}", "not JSON: .* line 2 column 3"),
        ('{"limit": NaN}', "not JSON: NaN is not a JSON number"),
        ("[" * 100_000, "not JSON: "),
        ([VIEWS], "must hold one JSON object"),
        ({"_id": "_design/other"}, "'_id' must be '_design/by_color'"),
        ({"_rev": "1-a"}, "'_rev' is for CouchDB to set"),
        ({"views": []}, "'views' must be an object"),
        (
            {"views": {"x": "function(doc) {}"}},
            "view 'x' must be an object with its 'map' function as a string",
        ),
        ({"views": {"x": {"reduce": "_count"}}}, "view 'x' must be an object with its 'map'"),
        ({"views": {"x": {"map": None}}}, "view 'x' must be an object with its 'map'"),
        ({"views": {"x": {"map": {}}}}, "view 'x' must be an object with its 'map'"),
        ({"views": {"lib": "exports.a = 1;"}}, "'lib' in 'views' must be an object"),
        ({"language": "query", "views": {"x": {"map": "function(doc) {}"}}}, "index 'x' must be an object"),
        ({"language": "query", "views": {"x": {}}}, "index 'x' must be an object"),
    ],
)
def test_bad_design_document_is_refused_by_its_files_name(
    tmp_path: Path, content: object, reason: str
) -> None:
    path = _write(tmp_path, "by_color.json", content)
    with pytest.raises(InstallerError, match=reason) as caught:
        read_design_documents(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"_id": None}, "'_id' must be a string, or each run would create the document once more"),
        ({"_id": ""}, "'_id' must be a string"),
        ({"_id": 7}, "'_id' must be a string"),
        ({"type": None}, "'type' must be a name and a version, such as 'fruit_v1.0'"),
        ({"type": 1.0}, "'type' must be"),
        ({"type": "fruit"}, "'type' must be"),
        ({"type": "fruit_v1"}, "'type' must be"),
        ({"type": "red fruit_v1.0"}, "'type' must be"),
        ({"type": "fruit_v1.0\n"}, "'type' must be"),
        ({"type": "_v1.0"}, "'type' must be"),
        ({"_rev": "1-a"}, "'_rev' is for CouchDB to set"),
    ],
)
def test_bad_seed_document_is_refused_by_its_files_name(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = _write(tmp_path, "red.json", SEED | change)
    with pytest.raises(InstallerError, match=reason) as caught:
        read_seed_documents(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["_id", "type"])
def test_seed_document_without_id_or_type_is_refused(tmp_path: Path, name: str) -> None:
    _write(tmp_path, "red.json", {key: value for key, value in SEED.items() if key != name})
    with pytest.raises(InstallerError, match=f"'{name}' must be"):
        read_seed_documents(tmp_path)


def test_two_seed_documents_of_one_id_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, "a.json", SEED)
    _write(tmp_path, "b.json", SEED)
    with pytest.raises(InstallerError, match=r"b\.json: has the same '_id' as .*a\.json"):
        read_seed_documents(tmp_path)


def test_missing_folder_and_an_unreadable_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstallerError, match="missing: no such folder"):
        read_design_documents(tmp_path / "missing")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InstallerError, match=r"folder\.json: Is a directory"):
        read_design_documents(tmp_path)


def test_bytes_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "red.json").write_bytes(b'{"_id": "\xff"}')
    with pytest.raises(InstallerError, match=r"red\.json: not JSON"):
        read_seed_documents(tmp_path)


@pytest.fixture
def signer(tmp_path_factory: pytest.TempPathFactory) -> signing.Signer:
    path = tmp_path_factory.mktemp("keys") / "set.json"
    signing.new_key_set(path)
    return signing.TamperingSigner.from_file(path)


def test_seed_documents_are_signed(tmp_path: Path, signer: signing.Signer) -> None:
    _write(tmp_path, "red.json", SEED)
    (document,) = read_seed_documents(tmp_path, signer)
    assert signing.verify(signer, document.body)


def test_seed_document_that_cannot_be_signed_is_refused(tmp_path: Path, signer: signing.Signer) -> None:
    _write(tmp_path, "red.json", SEED | {"size": 2**53})
    with pytest.raises(InstallerError, match=r"red\.json: property 'size' of document '1'"):
        read_seed_documents(tmp_path, signer)
