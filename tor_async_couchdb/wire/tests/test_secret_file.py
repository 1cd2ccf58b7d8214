import logging
from pathlib import Path

import pytest

from tor_async_couchdb.wire.secret_file import SecretFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("first\n")
    return path


@pytest.mark.parametrize("text", ["s3cr3t", "s3cr3t\n", "s3cr3t\r\n"])
def test_end_of_the_line_is_no_part_of_the_secret(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    assert SecretFile(path).current() == "s3cr3t"


def test_spaces_are_a_part_of_the_secret(path: Path) -> None:
    path.write_text(" s3 cr3t \n")
    assert SecretFile(path).current() == " s3 cr3t "


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"s3cr3t\nother\n", "it has more than one line"),
        (b"s3cr3t\xff", "it is not UTF-8"),
    ],
)
def test_file_without_a_secret_is_named_and_not_shown(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        SecretFile(path)
    assert str(path) in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_file_that_can_t_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent: No such file or directory"):
        SecretFile(tmp_path / "absent")
    with pytest.raises(ValueError, match="Is a directory"):
        SecretFile(tmp_path)


def test_file_that_is_written_anew_is_read_again(path: Path) -> None:
    secret = SecretFile(path)
    assert secret.current() == "first"
    path.write_text("the second\n")
    assert secret.current() == "the second"


def test_file_behind_links_that_are_exchanged_is_read_again(tmp_path: Path) -> None:
    """As Kubernetes does it: password -> ..data/password, ..data -> a folder of this version."""
    for version in ("first", "other"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "password").write_text(version)
    data = tmp_path / "..data"
    data.symlink_to("first")
    (tmp_path / "password").symlink_to("..data/password")
    secret = SecretFile(tmp_path / "password")
    assert secret.current() == "first"
    (tmp_path / "..data_tmp").symlink_to("other")
    (tmp_path / "..data_tmp").rename(data)
    assert secret.current() == "other"


def test_secret_stays_while_the_new_file_can_t_be_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    secret = SecretFile(path)
    path.unlink()
    assert [secret.current(), secret.current()] == ["first", "first"]
    path.write_text("")
    assert [secret.current(), secret.current()] == ["first", "first"]
    assert [record.message.partition(str(path))[2] for record in caplog.records] == [
        ": No such file or directory",
        ": it is empty, but should hold a secret",
    ]
    path.write_text("second")
    assert secret.current() == "second"


def test_secret_is_not_in_its_repr(path: Path) -> None:
    assert repr(SecretFile(path)) == f"SecretFile({str(path)!r})"


def test_secrets_in_the_same_file_are_equal(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("first")
    assert SecretFile(path) == SecretFile(path)
    assert hash(SecretFile(path)) == hash(SecretFile(path))
    assert SecretFile(path) != SecretFile(other)
