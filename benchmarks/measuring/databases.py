"""What kind of database a result is of: results of each kind have a file of their own."""

from typing import NamedTuple

from suite.couchdb import CouchDB


class Kind(NamedTuple):
    """How a kind of database is called in a file's name, in a title, and where the nodes matter."""

    name: str
    title: str
    through: str = ""


def kind_of(couchdb: CouchDB) -> Kind:
    """The kind: the stand-in, one CouchDB, or a cluster of so many nodes."""
    if couchdb.stand_in is not None:
        return Kind("stand_in", "the stand-in")
    nodes = 1 + len(couchdb.other_urls)
    if nodes == 1:
        return Kind("couchdb", "CouchDB")
    return Kind(f"{nodes}_nodes", f"a cluster of {nodes} nodes", ", each through another node")
