"""Options for a service that signs its documents, and the guard that they make."""

import dataclasses
from urllib.parse import urlsplit

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.history.witness import DatabaseWitnessStore, Witness, WitnessStore
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import Signer, TamperingSigner
from tor_async_service.app.options import GuardOptions, Option
from tor_async_service.etcd.client import etcd_client

_ETCD = "etcd:"
_ETCD_NAME = "witness"


def witness_store(text: str) -> WitnessStore:
    """A witness's store: the URL of a database, or `etcd:` and etcd's URL, which may have a name as its path.

    Databases that are no masters of one another need different names.

    Raises:
        ValueError: the text is neither.
    """
    if not text.startswith(_ETCD):
        return DatabaseWitnessStore(Database(text))
    from tor_async_service.etcd.witness_store import EtcdWitnessStore  # only needed with etcd

    url = urlsplit(text.removeprefix(_ETCD))
    name = url.path.strip("/") or _ETCD_NAME
    if "/" in name:
        raise ValueError("a witness in etcd is etcd:http[s]://host:port/name")
    client = etcd_client(url._replace(path="").geturl())
    return EtcdWitnessStore(client, f"tor_async_couchdb/witness/{name}/".encode())


# Its value is the signer.
KEY_SET = Option(
    "keyset", "FILE", "Tink key set that signs documents", "TAMPERING_KEY_SET", TamperingSigner.from_file
)

OPTIONAL_KEY_SET = dataclasses.replace(KEY_SET, is_optional=True)

# Its value is the store. The administrator of the database must have no access to it, so it has credentials
# of its own. They are in the URL, which is best given in the environment.
WITNESS = Option(
    "witness",
    "URL",
    "database of the witness, or etcd:URL, with its user and password",
    "TAMPERING_WITNESS",
    witness_store,
    is_optional=True,
)


def signing_guard(keyset: Signer, witness: WitnessStore | None = None) -> ProtectingGuard:
    """A guard that signs and, with a witness, also detects rollbacks and deletions."""
    return ProtectingGuard(signer=keyset, witness=None if witness is None else Witness(witness, keyset))


SIGNING = GuardOptions((KEY_SET, WITNESS), signing_guard)
