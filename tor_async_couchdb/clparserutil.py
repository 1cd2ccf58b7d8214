"""An alias of `tor_async_couchdb.installer.option_types`, under the name that the original had."""

from tor_async_couchdb.installer.option_types import (
    UserPassword,
    boolean,
    logging_level,
    scheme_host_port,
    user_colon_password,
)

__all__ = ["UserPassword", "boolean", "logging_level", "scheme_host_port", "user_colon_password"]
