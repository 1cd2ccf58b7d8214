from pathlib import Path

import pytest

from tor_async_couchdb.history.witness import DatabaseWitnessStore
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_service.app.options import parse
from tor_async_service.couchdb.signing import KEY_SET, SIGNING, WITNESS, witness_store
from tor_async_service.etcd.witness_store import EtcdWitnessStore

OPTIONS = (KEY_SET, WITNESS)


async def test_key_set_and_witness_come_from_the_environment(tmp_path: Path) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    environment = {
        "TAMPERING_KEY_SET": str(tmp_path / "keys.json"),
        "TAMPERING_WITNESS": "http://u:s3cr3t@host/witness",
    }
    own = parse("x", [], environment, own_options=OPTIONS).own
    assert isinstance(own["keyset"], TamperingSigner)
    assert isinstance(own["witness"], DatabaseWitnessStore)
    await own["witness"].close()


async def test_guard_signs_by_the_key_set_and_keeps_history_with_a_witness(tmp_path: Path) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    keyset = TamperingSigner.from_file(tmp_path / "keys.json")
    for witness in (None, witness_store("http://host/witness")):
        guard = SIGNING.make(keyset=keyset, witness=witness)
        assert signing.verify(keyset, guard.sign({"_id": "a", "type": "note_v1.0"}))
        assert guard.keeps_history is (witness is not None)


def test_service_needs_no_witness(tmp_path: Path) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    assert parse("x", ["--keyset", f"{tmp_path}/keys.json"], {}, own_options=OPTIONS).own["witness"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "argument --keyset: keys.json: No such file or directory"),
        ("secret", "argument --keyset: 'keys.json' holds no Tink key set for message authentication codes"),
    ],
)
def test_file_without_a_key_set_is_one_line_and_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("keys.json").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        parse("x", ["--keyset", "keys.json"], {}, own_options=OPTIONS)
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_signing_service_without_a_key_set_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("x", [], {}, own_options=OPTIONS)
    assert "--keyset" in capsys.readouterr().err


async def test_witness_may_be_in_etcd() -> None:
    store = parse("x", ["--witness", "etcd:http://127.0.0.1:2379/fruits"], {}, own_options=(WITNESS,)).own[
        "witness"
    ]
    assert isinstance(store, EtcdWitnessStore)
    await store.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("etcd:127.0.0.1:2379", "is not a URL like http://127.0.0.1:2379"),
        ("etcd:http://127.0.0.1:2379/a/b", "a witness in etcd is etcd:http[s]://host:port/name"),
        ("fruits", "a database's URL is http[s]://host:port/database"),
    ],
)
def test_invalid_witness_is_one_line_and_status_2(
    text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("x", ["--witness", text], {}, own_options=(WITNESS,))
    assert words in capsys.readouterr().err.splitlines()[-1]
