"""The error of the installer."""

from tor_async_couchdb.errors import CouchDBError


class InstallerError(CouchDBError):
    """The installation failed. The message is one line that names the file or the host."""
