from pathlib import Path

import pytest

from tor_async_service.local.resources import filled, resources_of


def test_keys_and_secrets_are_made_once(tmp_path: Path) -> None:
    options = ("--keyset", "{key_set}", "--protection={protection}")
    with resources_of(options, tmp_path) as values:
        assert set(values) == {"key_set", "protection"}
        first = Path(values["key_set"]).read_text()
        assert filled(options, values) == (
            "--keyset",
            str(tmp_path / "keys.json"),
            f"--protection={tmp_path / 'protection'}",
        )
    with resources_of(options, tmp_path) as values:
        assert Path(values["key_set"]).read_text() == first


def test_what_no_option_names_is_not_made(tmp_path: Path) -> None:
    with resources_of(("--port", "0"), tmp_path) as values:
        assert values == {}
    assert [*tmp_path.iterdir()] == []


def test_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="keyset"):
        filled(("{keyset}",), {"key_set": "a"})
