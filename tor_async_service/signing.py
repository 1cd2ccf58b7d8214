"""The options of a service that signs its documents."""

import dataclasses

from tor_async_couchdb.database import Database
from tor_async_couchdb.tamper import TamperingSigner
from tor_async_service.command_line import Option

# Read into the signer.
KEY_SET = Option(
    "keyset", "FILE", "Tink key set that signs documents", "TAMPERING_KEY_SET", TamperingSigner.from_file
)

OPTIONAL_KEY_SET = dataclasses.replace(KEY_SET, is_optional=True)

# Read into the database. Whoever administers the other one has no business in it: it has credentials of its
# own, which are in the URL, and so best in the environment.
WITNESS = Option(
    "witness",
    "URL",
    "database of the witness, with its user and password",
    "TAMPERING_WITNESS",
    Database,
    is_optional=True,
)
