"""The options of a service that signs its documents."""

import dataclasses
from urllib.parse import urlsplit

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.history.witness import DatabaseWitnessStore, WitnessStore
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_service.app.options import Option
from tor_async_service.etcd.client import etcd_client

_ETCD = "etcd:"
_ETCD_NAME = "witness"


def witness_store(text: str) -> WitnessStore:
    """A witness's store: a database's URL, or `etcd:` and etcd's, with a name as its path or without.

    Databases that are no masters of one another need different names.

    Raises:
        ValueError: it is neither.
    """
    if not text.startswith(_ETCD):
        return DatabaseWitnessStore(Database(text))
    from tor_async_service.etcd.witness_store import EtcdWitnessStore  # only who uses etcd needs it

    url = urlsplit(text.removeprefix(_ETCD))
    name = url.path.strip("/") or _ETCD_NAME
    if "/" in name:
        raise ValueError("a witness in etcd is etcd:http[s]://host:port/name")
    client = etcd_client(url._replace(path="").geturl())
    return EtcdWitnessStore(client, f"tor_async_couchdb/witness/{name}/".encode())


# Read into the signer.
KEY_SET = Option(
    "keyset", "FILE", "Tink key set that signs documents", "TAMPERING_KEY_SET", TamperingSigner.from_file
)

OPTIONAL_KEY_SET = dataclasses.replace(KEY_SET, is_optional=True)

# Read into the store. Whoever administers the database has no business in it: it has credentials of its
# own, which are in the URL, and so best in the environment.
WITNESS = Option(
    "witness",
    "URL",
    "database of the witness, or etcd:URL, with its user and password",
    "TAMPERING_WITNESS",
    witness_store,
    is_optional=True,
)
