"""Options for a service that encrypts and hashes sensitive properties, and the guard that they make."""

from tor_async_couchdb.protection.folder import Protector
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import Signer
from tor_async_service.app.options import GuardOptions, Option
from tor_async_service.couchdb.signing import OPTIONAL_KEY_SET

# Its value is the Protector.
PROTECTION = Option(
    "protection",
    "FOLDER",
    "secrets that protect sensitive properties",
    "PROTECTION_FOLDER",
    Protector.from_folder,
)


def protecting_guard(protection: Protector, keyset: Signer | None = None) -> ProtectingGuard:
    """A guard that encrypts and, with a key set, also signs."""
    return ProtectingGuard(signer=keyset, encryption=protection.encryption)


PROTECTING = GuardOptions((PROTECTION, OPTIONAL_KEY_SET), protecting_guard)
