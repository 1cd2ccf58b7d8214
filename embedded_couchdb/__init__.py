"""A CouchDB stand-in for machines without a CouchDB: PouchDB behind CouchDB's HTTP interface."""

from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node, install

__all__ = ["EmbeddedCouchDB", "EmbeddedCouchDBError", "find_node", "install"]
