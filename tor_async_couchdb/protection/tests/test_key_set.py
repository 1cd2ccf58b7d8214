import itertools
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.key_set import KeySetError, add_key, key_states, promote_key, retire_key
from tor_async_couchdb.protection.signing import TamperingSigner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    signing.new_key_set(path)
    return path


def _signed(path: Path) -> dict[str, Any]:
    return signing.sign(TamperingSigner.from_file(path), {"_id": "1", "type": "fruit_v1.0", "color": "red"})


def _verifies(path: Path, doc: dict[str, Any]) -> bool:
    return signing.verify(TamperingSigner.from_file(path), doc)


def _primary(path: Path) -> int:
    return next(key_id for key_id, state in key_states(path).items() if state == "primary")


def test_new_key_verifies_before_it_signs(path: Path, tmp_path: Path) -> None:
    before = _signed(path)
    old = tmp_path / "old.json"
    old.write_bytes(path.read_bytes())
    key_id = add_key(path)
    assert key_states(path) == {_primary(old): "primary", key_id: "verifies"}
    assert _signed(path) == before
    promote_key(path, key_id)
    promoted = _signed(path)
    assert promoted[SIGNATURE_PROPERTY_NAME] != before[SIGNATURE_PROPERTY_NAME]
    assert _verifies(path, before)
    assert not _verifies(old, promoted)


def test_services_before_and_after_each_step_of_a_rotation_verify_each_other(
    path: Path, tmp_path: Path
) -> None:
    first = _primary(path)
    stages = [path.read_bytes()]
    second = add_key(path)
    stages.append(path.read_bytes())
    promote_key(path, second)
    stages.append(path.read_bytes())
    files = []
    for i, stage in enumerate(stages):
        files.append(tmp_path / f"{i}.json")
        files[i].write_bytes(stage)
    for one, other in itertools.pairwise(files):
        assert _verifies(one, _signed(other))
        assert _verifies(other, _signed(one))
    retire_key(path, first)
    assert _verifies(files[-1], _signed(path))


def test_signature_of_a_retired_key_does_not_verify(path: Path) -> None:
    old = _primary(path)
    doc = _signed(path)
    promote_key(path, add_key(path))
    retire_key(path, old)
    assert key_states(path)[old] == "retired"
    assert not _verifies(path, doc)
    with pytest.raises(KeySetError, match=rf"keys\.json: key {old} is retired"):
        promote_key(path, old)


def test_primary_key_is_not_retired(path: Path) -> None:
    with pytest.raises(KeySetError, match="is the primary one: promote another one first"):
        retire_key(path, _primary(path))


@pytest.mark.parametrize("change", [promote_key, retire_key])
def test_absent_key_is_an_error_that_names_it(path: Path, change: Any) -> None:
    before = path.read_bytes()
    with pytest.raises(KeySetError, match=r"keys\.json: has no key 7"):
        change(path, 7)
    assert path.read_bytes() == before


def test_changed_key_set_is_readable_by_its_owner_only(path: Path) -> None:
    add_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["keys.json"]


def test_destroyed_key_is_neither_promoted_nor_retired(path: Path) -> None:
    old = _primary(path)
    promote_key(path, add_key(path))
    keys = json.loads(path.read_text())
    for key in keys["key"]:
        if key["keyId"] == old:
            key["status"] = "DESTROYED"
            del key["keyData"]
    path.write_text(json.dumps(keys))
    assert key_states(path)[old] == "destroyed"
    for change in (promote_key, retire_key):
        with pytest.raises(KeySetError, match=rf"keys\.json: key {old} is destroyed"):
            change(path, old)
    assert json.loads(path.read_text()) == keys
    assert _verifies(path, _signed(path))


def test_key_set_is_changed_through_symbolic_links_which_stay(path: Path, tmp_path: Path) -> None:
    (tmp_path / "..data").symlink_to(path.name)
    link = tmp_path / "mounted.json"
    link.symlink_to("..data")
    key_id = add_key(link)
    promote_key(link, key_id)
    assert link.readlink() == Path("..data")
    assert not path.is_symlink()
    assert key_states(path)[key_id] == key_states(link)[key_id] == "primary"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_second_process_that_changes_a_key_set_at_once_is_refused(path: Path) -> None:
    before = path.read_bytes()
    Path(f"{path}.new").touch()
    with pytest.raises(KeySetError, match=r"keys\.json\.new: exists"):
        add_key(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", [None, "", "[]", '{"primaryKeyId": "secret"}'])
def test_file_without_a_key_set_is_an_error_that_quotes_nothing(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_text(text)
    for change in (add_key, key_states):
        with pytest.raises(KeySetError, match=r"keys\.json") as caught:
            change(path)
        assert "secret" not in str(caught.value)
