import os

import pytest

from db_installer.folders import DESIGN_DOCS_FOLDER
from db_installer.languages import design_docs_folder
from tor_async_couchdb.testing.couchdb import CouchDBServer


def test_stand_in_gets_javascript_views_and_the_user_is_told(
    couchdb: CouchDBServer, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = design_docs_folder("python", couchdb.url)
    if "COUCHDB_URL" in os.environ:
        assert folder.name == "design_docs_python"
    else:
        assert folder == DESIGN_DOCS_FOLDER
        assert "runs no python" in capsys.readouterr().err


def test_unreachable_host_is_left_for_the_installation_to_report() -> None:
    assert design_docs_folder("python", "http://127.0.0.1:1").name == "design_docs_python"
