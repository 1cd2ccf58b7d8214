"""The error that this package raises."""


class EmbeddedCouchDBError(Exception):
    """The stand-in can't be installed or started. The message is one sentence that says what to do."""
