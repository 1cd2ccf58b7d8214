"""An alias of `tor_async_couchdb.protection.signing`, under the name that the original had."""

from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection.signing import (
    Signer,
    TamperingSigner,
    new_key_set,
    sign,
    verify,
)

__all__ = ["SIGNATURE_PROPERTY_NAME", "Signer", "TamperingSigner", "new_key_set", "sign", "verify"]
