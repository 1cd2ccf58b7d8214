import asyncio
import hashlib
import hmac
import stat
import threading
from pathlib import Path
from typing import Literal

import argon2
import pytest

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import HashingError, InvalidDocumentError
from tor_async_couchdb.protection.hashing import Pepper, SlowHasher

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRET = bytes(range(64))


@pytest.fixture
def hasher() -> SlowHasher:
    return SlowHasher(Pepper(SECRET), QUICK)


def test_lookup_hash_is_hmac_with_sha3_512() -> None:
    expected = hmac.new(SECRET, b"email\0jane@example.com", hashlib.sha3_512).hexdigest()
    assert Pepper(SECRET).hash("email", "jane@example.com") == expected


def test_hash_depends_on_purpose_text_and_pepper() -> None:
    hashes = [
        Pepper(secret).hash(purpose, text)
        for secret in (SECRET, SECRET[::-1])
        for purpose in ("email", "phone")
        for text in ("", "a", "é")
    ]
    assert len(set(hashes)) == len(hashes)


def test_pepper_is_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    Pepper.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Pepper.from_file(path).hash("a", "b") == Pepper.from_file(path).hash("a", "b")
    Pepper.create(tmp_path / "other")
    assert Pepper.from_file(path).hash("a", "b") != Pepper.from_file(tmp_path / "other").hash("a", "b")
    with pytest.raises(FileExistsError):
        Pepper.create(path)


@pytest.mark.parametrize("content", [b"", b"c2hvcnQ=", b"?", b"\xff"])
def test_file_without_a_pepper_is_an_error_that_names_but_does_not_quote_it(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "pepper").write_bytes(content)
    with pytest.raises(ValueError, match="pepper' holds no pepper"):
        Pepper.from_file(tmp_path / "pepper")


async def test_secret_matches_its_own_hash_only(hasher: SlowHasher) -> None:
    hashed = await hasher.hash("1234")
    assert hashed.startswith("$argon2id$")
    assert await hasher.matches("1234", hashed)
    assert not await hasher.matches("1235", hashed)


async def test_equal_secrets_have_different_hashes_that_another_pepper_does_not_match(
    hasher: SlowHasher,
) -> None:
    hashed = await hasher.hash("1234")
    assert hashed != await hasher.hash("1234")
    assert not await SlowHasher(Pepper(SECRET[::-1]), QUICK).matches("1234", hashed)
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        QUICK.verify(hashed, "1234")


async def test_text_that_is_no_hash_and_costly_hash_are_refused(hasher: SlowHasher) -> None:
    costly = argon2.PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash("1234")
    with pytest.raises(InvalidDocumentError, match="takes too much"):
        await hasher.matches("1234", costly)
    for text in ("", "1234", "$argon2id$v=19$m=8,t=1,p=1$", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"):
        with pytest.raises(InvalidDocumentError, match="one of its hashes is no argon2 hash"):
            await hasher.matches("1234", text)


def test_default_is_argon2id_as_rfc_9106_recommends() -> None:
    hasher = SlowHasher(Pepper(SECRET))._hasher
    parameters = argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY)
    assert hasher.type is argon2.Type.ID
    assert (hasher.time_cost, hasher.memory_cost) == (parameters.time_cost, parameters.memory_cost)


class Blocked(argon2.PasswordHasher):
    """Waits with each hash until `go_on` is set, and counts them."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go_on = threading.Event()
        self.entered = threading.Semaphore(0)
        self.count = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        assert threading.current_thread() is not threading.main_thread()
        self.wait()
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
        self.wait()
        return super().verify(hash, password)

    def wait(self) -> None:
        self.count += 1
        self.entered.release()
        assert self.go_on.wait(10)


async def test_event_loop_is_not_blocked_and_two_hashes_run_at_once() -> None:
    blocked = Blocked()
    hasher = SlowHasher(Pepper(SECRET), blocked)
    hashing = [asyncio.create_task(hasher.hash("1234")) for _ in range(5)]
    for _ in range(2):
        assert await asyncio.to_thread(blocked.entered.acquire, timeout=10)
    assert blocked.count == 2
    blocked.go_on.set()
    assert len({await each for each in hashing}) == 5


async def test_hash_that_waits_until_the_deadline_is_an_error_and_never_computed() -> None:
    blocked = Blocked()
    hasher = SlowHasher(Pepper(SECRET), blocked)
    others = [asyncio.create_task(hasher.hash("1234")) for _ in range(2)]
    for _ in others:
        assert await asyncio.to_thread(blocked.entered.acquire, timeout=10)
    with (
        deadline.within(timeout_s=0.05),
        pytest.raises(HashingError, match="not computed before the deadline"),
    ):
        await hasher.hash("1234")
    blocked.go_on.set()
    await asyncio.gather(*others)
    assert blocked.count == 2


@pytest.mark.parametrize("is_hash", [True, False])
async def test_hash_that_hangs_is_waited_for_until_the_deadline(is_hash: bool) -> None:
    blocked = Blocked()
    hasher = SlowHasher(Pepper(SECRET), blocked)
    with deadline.within(timeout_s=0.1), pytest.raises(HashingError):
        await (hasher.hash("1234") if is_hash else hasher.matches("1234", QUICK.hash("x")))
    assert await asyncio.to_thread(blocked.entered.acquire, timeout=10)
    blocked.go_on.set()
