from pathlib import Path

import pytest

from suite.couchdb import running_couchdb
from suite.errors import SuiteError


@pytest.mark.parametrize(
    ("name", "text"),
    [("COUCHDB_USER", "a:b"), ("COUCHDB_USER", "\udcff"), ("COUCHDB_PASSWORD", "s3cr3t\udcff")],
)
def test_credentials_that_can_t_be_sent_are_named_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    variables = {"COUCHDB_URL": "http://127.0.0.1:1", "COUCHDB_USER": "u", "COUCHDB_PASSWORD": "p"}
    for variable, value in (variables | {name: text}).items():
        monkeypatch.setenv(variable, value)
    with (
        pytest.raises(SuiteError, match=f"^{name}: a (username|password) must") as caught,
        running_couchdb(tmp_path, 0),
    ):
        pass
    assert "s3cr3t" not in str(caught.value)
