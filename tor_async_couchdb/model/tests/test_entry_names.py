import pytest

from tor_async_couchdb.model import entry_names
from tor_async_couchdb.model.entry_names import EntryNamer


def test_numbers_of_each_key_count_up_from_one() -> None:
    namer = EntryNamer()
    assert [namer.next_number(key) for key in "aabab"] == [1, 2, 1, 3, 2]


def test_two_runs_of_a_process_are_two_writers() -> None:
    assert EntryNamer().writer != EntryNamer().writer


def test_no_number_is_used_again_after_it_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_names, "_MAX_KEYS", 2)
    namer = EntryNamer()
    numbers = [(key, namer.next_number(key)) for key in "aaabcabcaabc"]
    assert len(set(numbers)) == len(numbers)
