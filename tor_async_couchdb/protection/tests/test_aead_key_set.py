from pathlib import Path

import pytest

from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.aead_key_set import AeadKeySet, key_id_of


def test_ciphertext_decrypts_with_the_same_associated_data_only() -> None:
    keys = AeadKeySet.new()
    ciphertext = keys.encrypt(b"text", b"place")
    assert keys.decrypt(ciphertext, b"place") == b"text"
    for wrong in (b"", b"another place"):
        with pytest.raises(ValueError, match="does not decrypt"):
            keys.decrypt(ciphertext, wrong)


def test_changed_ciphertext_does_not_decrypt_and_nor_does_another_key() -> None:
    keys = AeadKeySet.new()
    ciphertext = keys.encrypt(b"text", b"")
    for i in range(len(ciphertext)):
        changed = ciphertext[:i] + bytes([ciphertext[i] ^ 1]) + ciphertext[i + 1 :]
        with pytest.raises(ValueError, match="does not decrypt"):
            keys.decrypt(changed, b"")
    with pytest.raises(ValueError, match="does not decrypt"):
        AeadKeySet.new().decrypt(ciphertext, b"")


def test_ciphertext_names_its_key() -> None:
    keys = AeadKeySet.new()
    assert key_id_of(keys.encrypt(b"", b"")) == keys.primary_id
    assert keys.key_ids == {keys.primary_id}


def test_new_primary_key_encrypts_and_the_old_one_decrypts_until_it_is_removed() -> None:
    old = AeadKeySet.new()
    both = old.with_new_primary()
    new = both.only_primary()
    by_old, by_new = old.encrypt(b"text", b""), both.encrypt(b"text", b"")
    assert both.key_ids == {old.primary_id, both.primary_id}
    assert new.key_ids == {both.primary_id} == {key_id_of(by_new)}
    assert both.decrypt(by_old, b"") == both.decrypt(by_new, b"") == new.decrypt(by_new, b"") == b"text"
    with pytest.raises(ValueError, match="does not decrypt"):
        new.decrypt(by_old, b"")


def test_key_set_is_read_from_a_file(tmp_path: Path) -> None:
    keys = AeadKeySet.new()
    (tmp_path / "keys.json").write_text(keys.text)
    assert AeadKeySet.from_file(tmp_path / "keys.json").decrypt(keys.encrypt(b"text", b""), b"") == b"text"


def test_file_without_a_key_set_is_an_error_that_quotes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    signing.new_key_set(path)
    contents = [path.read_bytes(), b"{}", b"\xff secret", b'{"key": "secret"}']
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="holds no Tink key set for authenticated encryption") as error:
            AeadKeySet.from_file(path)
        assert "secret" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        AeadKeySet.from_file(tmp_path / "absent.json")
