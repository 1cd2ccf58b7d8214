from pathlib import Path

import pytest

from benchmarks.measuring.databases import Kind, kind_of
from embedded_couchdb.launcher import EmbeddedCouchDB
from suite.couchdb import CouchDB

STAND_IN = EmbeddedCouchDB(Path("node"), Path("folder"), username="admin", password="secret")


@pytest.mark.parametrize(
    ("stand_in", "other_urls", "kind"),
    [
        (STAND_IN, (), Kind("stand_in", "the stand-in")),
        (None, (), Kind("couchdb", "CouchDB")),
        (
            None,
            ("http://b:5984", "http://c:5984"),
            Kind("3_nodes", "a cluster of 3 nodes", ", each through another node"),
        ),
    ],
)
def test_results_of_each_kind_of_database_have_a_name(
    stand_in: EmbeddedCouchDB | None, other_urls: tuple[str, ...], kind: Kind
) -> None:
    assert kind_of(CouchDB("http://a:5984", "admin", "secret", stand_in, other_urls)) == kind
