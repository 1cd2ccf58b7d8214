"""The option of a service that encrypts and hashes sensitive properties."""

from tor_async_couchdb.protection.folder import Protector
from tor_async_service.app.options import Option

# Read into the Protector.
PROTECTION = Option(
    "protection",
    "FOLDER",
    "secrets that protect sensitive properties",
    "PROTECTION_FOLDER",
    Protector.from_folder,
)
