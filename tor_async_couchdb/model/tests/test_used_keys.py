import datetime

import pytest

from tor_async_couchdb.errors import KeyReusedError, KeysFullError
from tor_async_couchdb.model import used_keys
from tor_async_couchdb.model.used_keys import KeyUse, UsedKey, earlier_use, with_key

USE = KeyUse("a", "red")
PRESENT = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def _clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_keys, "now", lambda: text_of(PRESENT))


def used(key: str, age_s: float = 0.0, fingerprint: str = "red") -> UsedKey:
    return UsedKey(key, fingerprint, text_of(PRESENT - datetime.timedelta(seconds=age_s)), 3)


def text_of(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def test_change_under_a_key_is_found() -> None:
    sought = used("a")
    assert earlier_use([used("b"), sought], USE) is sought
    assert earlier_use([used("b")], USE) is None
    assert earlier_use([], USE) is None


def test_key_of_another_change_is_refused() -> None:
    with pytest.raises(KeyReusedError):
        earlier_use([used("a", fingerprint="blue")], USE)


def test_key_is_kept_for_the_window_and_some_seconds_and_no_longer() -> None:
    keys = [used("too old", 310.000001), used("clocks apart", 310.0), used("young", 100.0)]
    kept = with_key(keys, used("new"), window_s=300.0, max_keys=10)
    assert [each.key for each in kept] == ["clocks apart", "young", "new"]


def test_key_from_a_clock_that_is_ahead_is_kept() -> None:
    assert len(with_key([used("ahead", -5.0)], used("new"), window_s=1.0, max_keys=10)) == 2


def test_young_key_is_never_dropped_for_a_new_one() -> None:
    keys = [used("a", 200.0), used("b", 100.0)]
    with pytest.raises(KeysFullError) as full:
        with_key(keys, used("new"), window_s=300.0, max_keys=2)
    assert full.value.retry_after_s == 110.0
    assert len(with_key([used("a", 311.0), *keys[1:]], used("new"), window_s=300.0, max_keys=2)) == 2


@pytest.mark.parametrize("moment", ["9998-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00.000000+00:00"])
def test_key_from_a_clock_that_is_wrong_is_not_kept_for_ever(moment: str) -> None:
    keys = [UsedKey(f"{number}", "red", moment) for number in range(3)]
    assert with_key(keys, new := used("new"), window_s=300.0, max_keys=3) == (new,)


@pytest.mark.parametrize("ages_s", [[-309.0, 200.0], [200.0, -309.0], [-309.0, -309.0]])
def test_client_is_asked_to_wait_until_the_first_key_ends_and_no_longer(ages_s: list[float]) -> None:
    keys = [used(f"{age_s}", age_s) for age_s in ages_s]
    with pytest.raises(KeysFullError) as full:
        with_key(keys, used("new"), window_s=300.0, max_keys=2)
    assert 0.0 < full.value.retry_after_s <= (110.0 if 200.0 in ages_s else 620.0)
